//! What has to hold when it is over. Everything that does not is told, not only the first.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use uuid::Uuid;

use super::client::Kept;
use super::plan::{Plan, What, Work};
use super::site::{DATABASE, Site, child, pixels};
use crate::cluster::PATIENCE;
use crate::{Result, Trouble, http, process, views, wait};

/// How a workflow has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    Failed(u8),
    Cancelled,
}

/// A workflow, and how it has to end.
struct Expected {
    id: Uuid,
    /// What its images are called.
    name: String,
    results: PathBuf,
    end: End,
}

/// How many have ended in which way, and what Slurm has done to their jobs meanwhile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ended {
    /// With results.
    pub done: usize,
    /// As they were told to.
    pub failed: usize,
    /// Because somebody asked for it.
    pub cancelled: usize,
    /// Jobs that slurmctld had taken and did not know any more when it was back.
    pub forgotten: usize,
    /// Jobs whose end slurmctld did not know any more: it has run them again itself, under the same number.
    pub run_again: usize,
}

/// Looks at everything, and stops the worker.
///
/// # Errors
/// Something does not hold.
pub(super) fn check(site: &mut Site, plan: &Plan, kept: &BTreeMap<Uuid, Kept>) -> Result<Ended> {
    let (expected, mut faults) = expected(site, plan, kept);
    let mut ended = Ended::default();
    for workflow in &expected {
        faults.extend(end_of(site, workflow)?);
        faults.extend(results_of(workflow));
        match workflow.end {
            End::Done => ended.done += 1,
            End::Failed(_) => ended.failed += 1,
            End::Cancelled => ended.cancelled += 1,
        }
    }
    faults.extend(batches(site, plan)?);
    faults.extend(jobs(site, &expected, &mut ended)?);
    faults.extend(history(site)?);
    faults.extend(rebuilt(site)?);
    faults.extend(told_to_people(site)?);
    faults.extend(left_on_disk(site, &expected));
    site.stop_worker()?;
    faults.extend(left_running(site)?);
    match faults.as_slice() {
        [] => Ok(ended),
        _ => Err(Trouble::new(format!("{} faults:\n{}", faults.len(), faults.join("\n")))),
    }
}

fn expected(site: &Site, plan: &Plan, kept: &BTreeMap<Uuid, Kept>) -> (Vec<Expected>, Vec<String>) {
    let (mut expected, mut faults) = (Vec::new(), Vec::new());
    let of = |work: &Work| match work {
        Work::Copies(_) => End::Done,
        Work::Fails(code) => End::Failed(*code),
    };
    for wish in &plan.wishes {
        let (id, name, results) = (wish.id, wish.name.clone(), site.results(&wish.name));
        match &wish.what {
            What::One(work) => expected.push(Expected { id, name, results, end: of(work) }),
            What::Cancelled(_) => expected.push(Expected { id, name, results, end: End::Cancelled }),
            What::Batch(works) => {
                let children = kept.get(&id).map(|kept| kept.children.as_slice()).unwrap_or_default();
                if children.len() != works.len() {
                    faults.push(format!("batch {name} has {} workflows of {}", children.len(), works.len()));
                }
                for (place, (id, work)) in children.iter().zip(works).enumerate() {
                    let results = results.join((place + 1).to_string());
                    expected.push(Expected { id: *id, name: child(&name, place), results, end: of(work) });
                }
            }
        }
    }
    (expected, faults)
}

/// It has ended as it has to, and for a reason that is true.
fn end_of(site: &Site, workflow: &Expected) -> Result<Option<String>> {
    let shown = http::get(&site.socket(), &format!("/v1/workflows/{}", workflow.id))?.json();
    let failure = &shown["failure"];
    let is_true = match workflow.end {
        End::Done => shown["phase"] == "DONE" && failure.is_null(),
        End::Cancelled => shown["phase"] == "CANCELLED",
        End::Failed(code) => {
            shown["phase"] == "FAILED"
                && (&failure["step"], &failure["exit_code"]) == (&json!("workflow"), &json!(code))
                && failure["log"] == json!([format!("told to fail with {code}")])
        }
    };
    let Expected { name, end, .. } = workflow;
    Ok((!is_true).then(|| format!("{name} has to end as {end:?}, and is {shown:#}")))
}

/// Its results are home, whole, where it is done; nothing is there where it is not.
fn results_of(workflow: &Expected) -> Option<String> {
    let Expected { name, results, end, .. } = workflow;
    if *end != End::Done {
        return results.exists().then(|| format!("{name} has results in {}", results.display()));
    }
    let names = names_in(results);
    if names != BTreeSet::from(["one.tif".to_owned(), "sleep".to_owned()]) {
        return Some(format!("results of {name} in {} are {names:?}", results.display()));
    }
    let text = std::fs::read_to_string(results.join("one.tif")).unwrap_or_default();
    (text != pixels(name)).then(|| format!("results of {name} in {} are others", results.display()))
}

/// A batch has come as far as its workflows.
fn batches(site: &Site, plan: &Plan) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for wish in &plan.wishes {
        let What::Batch(works) = &wish.what else { continue };
        let shown = http::get(&site.socket(), &format!("/v1/workflows/{}", wish.id))?.json();
        let failed = works.iter().filter(|work| matches!(work, Work::Fails(_))).count();
        let phase = if failed > 0 { "FAILED" } else { "DONE" };
        let (of, done) = (works.len(), works.len() - failed);
        let children = json!({ "of": of, "done": done, "failed": failed, "cancelled": 0 });
        if (&shown["phase"], &shown["children"]) != (&json!(phase), &children) {
            faults.push(format!("batch {} has to be {phase} with {children}, and is {shown:#}", wish.name));
        }
    }
    Ok(faults)
}

/// One job ran for each, from its beginning to its end, by what it told itself and by what Slurm has on its books. What slurmctld
/// has forgotten since it was killed is not counted, nor what it then does again itself: nobody could know of it.
fn jobs(site: &Site, expected: &[Expected], ended: &mut Ended) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let mut sacct = site.cluster().slurm("sacct");
    sacct.args(["-n", "-P", "-X", "-D", "-a", "-S", "now-6hours", "-o", "JobIDRaw,State,Comment,SubmitLine"]);
    let books = booked(&process::succeed(&mut sacct, PATIENCE)?);
    let told = told(&site.counts());
    for Expected { id, name, end, .. } in expected {
        let lines = told.get(&id.simple().to_string()).map(Vec::as_slice).unwrap_or_default();
        let booked = books.get(&id.to_string()).map(Vec::as_slice).unwrap_or_default();
        // The queue is empty: what waits or runs by the books alone is what slurmctld has forgotten.
        let is_ended = |job: &&String| !job.ends_with("PENDING") && !job.ends_with("RUNNING");
        let known: BTreeSet<&str> =
            booked.iter().filter(is_ended).filter_map(|job| job.split(' ').next()).collect();
        let (ran, done) = (of_jobs(lines, "begun "), of_jobs(lines, "ended "));
        let (counted, whole) = (ran.intersection(&known).count(), done.intersection(&known).count());
        let is_once = match end {
            // It may have told its end in the moment in which it was cancelled.
            End::Cancelled => known.len() <= 1 && !booked.iter().any(|job| job.ends_with(" COMPLETED")),
            End::Done | End::Failed(_) => (known.len(), counted, whole) == (1, 1, 1),
        };
        if !is_once {
            faults.push(format!("{name} ({id}) ran as {lines:?}, and Slurm has {booked:?}"));
        }
        let jobs: BTreeSet<&str> = booked.iter().filter_map(|job| job.split(' ').next()).collect();
        ended.forgotten += jobs.union(&ran).filter(|job| !known.contains(*job)).count();
        ended.run_again += lines.iter().filter(|line| line.starts_with("begun ")).count() - ran.len();
    }
    let ours: BTreeSet<String> = expected.iter().map(|workflow| workflow.id.to_string()).collect();
    let others = books.keys().filter(|id| !ours.contains(*id));
    faults.extend(others.map(|id| format!("a job was submitted for {id}, which nobody has asked for")));
    let queue = process::succeed(site.cluster().slurm("squeue").args(["-h", "-o", "%i %T %k"]), PATIENCE)?;
    faults.extend(queue.lines().map(|job| format!("a job is left in the queue: {job}")));
    Ok(faults)
}

/// The jobs that have told this.
fn of_jobs<'a>(lines: &'a [String], what: &str) -> BTreeSet<&'a str> {
    lines.iter().filter_map(|line| line.strip_prefix(what)).collect()
}

/// What jobs have told, by the workflow that their data belong to.
fn told(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in names_in(folder) {
        let Some((_, id)) = name.rsplit_once('_') else { continue };
        let text = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
        told.entry(id.to_owned()).or_default().extend(text.lines().map(str::to_owned));
    }
    told
}

/// The jobs of each workflow in `sacct`'s answer: `id STATE`, one for each job, however often it was put back.
fn booked(answer: &str) -> BTreeMap<String, Vec<String>> {
    let mut jobs: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for line in answer.lines() {
        let fields: Vec<&str> = line.splitn(4, '|').collect();
        let [job, state, comment, submitted] = fields.as_slice() else { continue };
        // Of one that was put back, or that slurmctld had forgotten, one of the two is missing.
        let mut words =
            submitted.split(' ').map(|word| word.trim_start_matches("--comment=")).chain([*comment]);
        let Some(comment) = words.find_map(|word| word.strip_prefix("biomero-")) else { continue };
        let id = comment.get(..36).unwrap_or(comment);
        jobs.entry(id.to_owned()).or_default().insert((*job).to_owned(), (*state).to_owned());
    }
    let list = |jobs: BTreeMap<String, String>| {
        jobs.into_iter().map(|(job, state)| format!("{job} {state}")).collect::<Vec<_>>()
    };
    jobs.into_iter().map(|(id, jobs)| (id, list(jobs))).collect()
}

/// Nothing is in the history twice, nothing is missing in between, and its own doctor has no complaint.
fn history(site: &Site) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let (mut seen, mut versions) = (BTreeSet::new(), BTreeMap::<String, BTreeSet<i64>>::new());
    for row in views::rows(site.server(), DATABASE)? {
        let of = row.originator_id.to_string();
        versions.entry(of.clone()).or_default().insert(row.originator_version);
        // A state is told of again when another start is in prospect.
        if row.topic.ends_with(":Task.StatusUpdated") {
            continue;
        }
        let mut state: Value = serde_json::from_str(&row.state).unwrap_or_default();
        state.as_object_mut().map(|state| state.remove("timestamp"));
        if !seen.insert(format!("{of} {} {state}", row.topic)) {
            faults.push(format!("twice in the history: {of} {} {state}", row.topic));
        }
    }
    for (of, versions) in versions {
        let last = versions.last().copied().unwrap_or_default();
        if usize::try_from(last + 1) != Ok(versions.len()) {
            faults.push(format!("of {of} the history has {} events up to version {last}", versions.len()));
        }
    }
    let doctor = process::output(&mut site.worker().processor(&["events", "doctor"])?, PATIENCE)?;
    if !doctor.status.success() {
        faults.push(format!("`processor events doctor` says:\n{}", process::both(&doctor)));
    }
    Ok(faults)
}

/// The views are those that a rebuild makes.
fn rebuilt(site: &Site) -> Result<Option<String>> {
    let before = views::views(site.server(), DATABASE)?;
    process::succeed(&mut site.worker().processor(&["events", "rebuild"])?, PATIENCE)?;
    let after = views::views(site.server(), DATABASE)?;
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) = (before.lines().collect(), after.lines().collect());
    let differing: Vec<String> = old
        .difference(&new)
        .map(|row| format!("before: {row}"))
        .chain(new.difference(&old).map(|row| format!("rebuilt: {row}")))
        .collect();
    Ok((before != after)
        .then(|| format!("the views are not what a rebuild makes:\n{}", differing.join("\n"))))
}

/// How many have ended in which way is the same in the database, by the interface, and on the page.
fn told_to_people(site: &Site) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for phase in ["DONE", "FAILED", "CANCELLED"] {
        let count = format!("SELECT count(*) FROM biomero_worker_workflow WHERE phase = '{phase}'");
        let stored = site.server().psql(DATABASE, &count)?;
        let socket = site.socket();
        let answered =
            http::get(&socket, &format!("/v1/workflows?phase={phase}&limit=1"))?.json()["total"].to_string();
        let page = http::get(&socket, &format!("/workflows?phase={phase}"))?.text();
        if answered != stored || !page.contains(&format!(">{stored} workflow")) {
            faults.push(format!(
                "{stored} are {phase} in the database, {answered} by the interface; the page says: {}",
                page.split("data-live>").nth(1).unwrap_or(&page).get(..200).unwrap_or(&page)
            ));
        }
    }
    Ok(faults)
}

/// Nothing of any of them is left on its way: on the cluster, where images are staged, where results go.
fn left_on_disk(site: &Site, expected: &[Expected]) -> Vec<String> {
    let staged = site.worker().folder().join(".local/state/biomero/workflows");
    let mut faults = Vec::new();
    for folder in [site.data(), site.results(""), staged] {
        for name in names_in(&folder) {
            let plain = name.replace('-', "");
            if expected.iter().any(|workflow| plain.contains(&workflow.id.simple().to_string())) {
                faults.push(format!("{} is left", folder.join(name).display()));
            }
        }
    }
    faults
}

/// Of a worker that was stopped no process is left, here or on the cluster.
fn left_running(site: &Site) -> Result<Vec<String>> {
    let (user, _) = site.cluster().ids();
    let home = format!("HOME={}", site.worker().folder().display());
    let configuration = site.cluster().ssh_config().display().to_string();
    let is_ours = |process: &Path| {
        let has = |file: &str, what: &str| {
            let text = std::fs::read(process.join(file)).unwrap_or_default();
            text.split(|byte| *byte == 0).any(|word| word == what.as_bytes())
        };
        process.metadata().is_ok_and(|found| found.uid() == user)
            || has("environ", &home)
            || has("cmdline", &configuration)
    };
    let mut left = Vec::new();
    let gone = wait::until("the end of all processes", wait::PATIENCE, &[], || {
        let processes = names_in(Path::new("/proc"));
        let processes = processes.iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        let ours = processes.map(|id| Path::new("/proc").join(id)).filter(|process| is_ours(process));
        left = ours.map(|process| format!("still runs: {}", shown(&process))).collect();
        left.is_empty().then_some(())
    });
    Ok(if gone.is_ok() { Vec::new() } else { left })
}

fn shown(process: &Path) -> String {
    let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
    format!("{} {}", process.display(), String::from_utf8_lossy(&line).replace('\0', " "))
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_was_put_back_is_one_job_and_another_attempt_is_another() {
        let id = "0199e7a1-0000-7000-8000-000000000001";
        let line = |job: u32, state: &str, what: &str| {
            format!("{job}|{state}||sbatch --mem=64M --comment=biomero-{id}-{what} x.sh\n")
        };
        let answer = [
            line(7, "NODE_FAIL", "workflow"),
            line(7, "COMPLETED", "workflow"),
            line(9, "RUNNING", "workflow-1"),
            "11|COMPLETED|other|sbatch --comment=other x.sh\n".to_owned(),
            format!("12|COMPLETED|biomero-{id}-workflow-2|\n"),
        ];
        let jobs = ["12 COMPLETED", "7 COMPLETED", "9 RUNNING"].map(str::to_owned).to_vec();
        assert_eq!(booked(&answer.concat()), BTreeMap::from([(id.to_owned(), jobs)]));
    }
}
