//! What runs of the worker: the services that `init` supervises, and `processor serve`.

use biomero_config::Settings;
use biomero_slurm::setup::finding::Finding;
use serde_json::Value;

use crate::api::socket_of;
use crate::client::{Client, ClientError};
use crate::configuration::Configuration;
use crate::page::init::{self, Service, Untold};

/// Looks at both.
pub(super) async fn look(configuration: &Configuration<'_>, settings: &Settings) -> Vec<Finding> {
    let mut findings = match init::status(&settings.state.socket).await {
        Ok(status) => {
            let told = format!("{} {}, up {:.0} s", status.version, status.phase, status.uptime_s);
            let mut findings = vec![Finding::ok("init", told)];
            findings.extend(status.hook_warnings.iter().map(|warning| {
                Finding::warning("hooks", warning, "`init --dry-run` shows what each would do")
            }));
            findings.extend(status.services.iter().map(service));
            findings
        }
        Err(error @ Untold::Absent { .. }) => vec![Finding::not_tried("init", error.to_string())],
        Err(error) => vec![Finding::warning("init", error.to_string(), "`init status` may say more")],
    };
    findings.extend(serve(configuration, settings).await);
    findings
}

fn service(service: &Service) -> Finding {
    let step = format!("service {}", service.name);
    let mut told = service.state.clone();
    if service.restarts > 0 {
        told = format!("{told}, started again {} times", service.restarts);
    }
    for said in [&service.last_exit, &service.says].into_iter().flatten() {
        told = format!("{told}; {said}");
    }
    let remedy = format!("`init status`; its log is the container's; `init restart {}`", service.name);
    match service.state.as_str() {
        "failed" | "gave-up" => Finding::failed(step, told, remedy),
        "backing-off" => Finding::warning(step, told, remedy),
        _ if service.restarts > 0 => Finding::warning(step, told, "its log says why it ended"),
        _ => Finding::ok(step, told),
    }
}

async fn serve(configuration: &Configuration<'_>, settings: &Settings) -> Vec<Finding> {
    let step = "processor serve";
    let socket = match socket_of(&settings.api, configuration.environment()) {
        Ok(socket) => socket,
        Err(error) => {
            return vec![Finding::failed(step, error.to_string(), "correct the setting api.socket")];
        }
    };
    match Client::new(socket.clone()).get("/ready").await {
        Ok(ready) => vec![Finding::ok(step, standing(&ready))],
        Err(error @ ClientError::Nobody { .. }) => {
            let remedy = "`init status` says whether it should run; by hand: `processor serve`";
            vec![Finding::warning(step, error.to_string(), remedy)]
        }
        Err(error) => {
            let remedy = "ask again; its log says more: it stands in the container's";
            vec![Finding::failed(step, error.to_string(), remedy)]
        }
    }
}

fn standing(ready: &Value) -> String {
    match (ready["acting"] == true, &ready["under_way"]) {
        (true, under_way) => format!("it acts, {under_way} workflows under way"),
        (false, _) => "it waits: another worker on this database acts".to_owned(),
    }
}
