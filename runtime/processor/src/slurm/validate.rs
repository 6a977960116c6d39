//! `processor slurm validate`: what stands between us and a job that runs.

use biomero_config::{HostKeys, JobEngine};
use biomero_events::json::Value;
use biomero_slurm::cluster::HostKeys as Taken;
use biomero_slurm::setup::finding::{Finding, Outcome, worst};
use biomero_slurm::setup::login::Way;
use biomero_slurm::setup::{Containers, validate};

use crate::ended::Ended;
use crate::exit_code;
use crate::output::{Answer, inert};
use crate::slurm::Context;
use crate::table::Tone;

/// Looks, and tells.
pub(super) async fn run(context: &Context<'_>, job: bool, answer: &mut Answer) -> Result<u8, Ended> {
    let findings = findings(context, job).await;
    if answer.is_json() {
        answer.object(object(context.cluster.name(), &findings))?;
    } else {
        write(&findings, answer)?;
    }
    answer.flush()?;
    Ok(if validate::has_failed(&findings) { exit_code::FINDINGS } else { exit_code::SUCCESS })
}

/// What is found; with `job`, also by a job that runs.
pub(crate) async fn findings(context: &Context<'_>, job: bool) -> Vec<Finding> {
    let access = &context.settings.slurm;
    let containers = containers(context);
    let way = (context.runs == JobEngine::Ssh).then(|| Way {
        host: context.biomero.ssh.host.clone(),
        config: access.ssh_config.clone(),
        host_keys: match access.host_keys {
            HostKeys::Strict => Taken::Strict,
            HostKeys::AcceptNew => Taken::AcceptNew,
        },
        connect: access.connect,
    });
    let asked = validate::Asked {
        settings: &context.biomero,
        way,
        with_slurm: context.runs != JobEngine::Embedded,
        containers: &containers,
        job,
    };
    validate::validate(&context.cluster, &asked).await
}

/// The container runtime of the cluster, as the settings name it.
pub(super) fn containers(context: &Context<'_>) -> Containers {
    let access = &context.settings.slurm;
    let (containers, odd) = Containers::configured(access.container, &access.modules);
    for module in odd {
        tracing::warn!("slurm.modules names {module:?}, which is no name of a module: it is left out");
    }
    containers
}

const fn tone(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Ok => Tone::Good,
        Outcome::NotTried => Tone::Faint,
        Outcome::Warning => Tone::Busy,
        Outcome::Failed => Tone::Bad,
    }
}

/// Each finding with what to do.
pub(crate) fn lines(findings: &[Finding], indent: &str, answer: &mut Answer) -> Result<(), Ended> {
    let colour = answer.colour();
    let width = findings.iter().map(|finding| finding.step.chars().count().min(30)).max().unwrap_or_default();
    for finding in findings {
        let word = tone(finding.outcome).paint(&format!("{:9}", finding.outcome.word()), colour);
        let step = inert(&finding.step);
        answer.line(format!("{indent}{word}  {step:width$}  {}", inert(&finding.told)))?;
        if let Some(remedy) = &finding.remedy {
            answer.line(format!("{indent}{:1$}to do: {2}", "", width + 13, inert(remedy)))?;
        }
    }
    Ok(())
}

fn write(findings: &[Finding], answer: &mut Answer) -> Result<(), Ended> {
    lines(findings, "", answer)?;
    let count = |outcome| findings.iter().filter(|finding| finding.outcome == outcome).count();
    answer.line(match (count(Outcome::Failed), count(Outcome::Warning)) {
        (0, 0) => "all is well".to_owned(),
        (0, warnings) => format!("jobs can run; {warnings} to be known"),
        (failures, warnings) => format!("{failures} to be put right, {warnings} to be known"),
    })
}

fn object(cluster: &str, findings: &[Finding]) -> Value {
    let verdict = worst(findings);
    let steps: Vec<Value> = findings
        .iter()
        .map(|finding| {
            [
                ("step", finding.step.as_str().into()),
                ("outcome", finding.outcome.word().into()),
                ("told", finding.told.as_str().into()),
                ("remedy", finding.remedy.clone().into()),
            ]
            .into()
        })
        .collect();
    [("cluster", cluster.into()), ("verdict", verdict.word().into()), ("steps", steps.into())].into()
}
