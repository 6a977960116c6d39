//! How the worker was started: the hooks that ran, what they wrote, and the services that `init` supervises.

use std::collections::BTreeMap;
use std::path::PathBuf;

use axum::extract::State;
use biomero_workflow::Steps;
use maud::{Markup, html};

use super::frame::{At, page};
use super::init::{self, Hook, Manifest, Rendered, Service, Status, Untold};
use super::words;
use crate::api::Shared;

/// How many files are shown.
const SHOWN: usize = 500;

/// Shows it.
pub(super) async fn show<S: Steps>(State(api): State<Shared<S>>) -> Markup {
    let places = &api.page.places;
    let (manifest, status) = tokio::join!(init::manifest(&places.manifest), init::status(&places.init));
    let content = html! {
        h1 { "Start-up" }
        section .panel { h2 { "Services" } div #services { (told(status, services)) } }
        section .panel { h2 { "Hooks" } (told(manifest, hooks)) }
    };
    page(At::StartUp, "Start-up", None, &content)
}

fn told<T>(answer: Result<T, Untold>, show: fn(&T) -> Markup) -> Markup {
    match answer {
        Ok(answer) => show(&answer),
        Err(error @ Untold::Absent { .. }) => html! { p .none { (error) "." } },
        Err(error) => html! { p .notice.bad { (error) } },
    }
}

fn services(status: &Status) -> Markup {
    html! {
        p .faint {
            "init " (status.version) ", " (status.phase) ", up " (words::length(status.uptime_s)) ", started in "
            (format!("{:.1}", status.start_up_ms)) " ms"
        }
        @for warning in &status.hook_warnings { p .notice.bad { bdi { (warning) } } }
        table .list {
            thead { tr { th scope="col" { "Service" } th scope="col" { "State" } th scope="col" { "Running" } th scope="col" .right { "Restarts" } th scope="col" { "Last exit" } th scope="col" { "Says" } } }
            tbody { @for service in &status.services { (line(service)) } }
        }
    }
}

fn line(service: &Service) -> Markup {
    let tone = match service.state.as_str() {
        "failed" | "gave-up" => "bad",
        "backing-off" | "waiting" | "starting" => "waiting",
        "stopped" | "stopping" => "off",
        _ if service.ready => "good",
        _ => "busy",
    };
    html! {
        tr {
            th scope="row" {
                bdi { (service.name) }
                @if service.main { span .faint { " · main" } }
                @if let Some(pid) = service.pid { span .faint { " · process " (pid) } }
            }
            td data-label="State" { span .phase.(tone) { (service.state) } }
            td data-label="Running" { (service.running_s.map_or_else(|| "—".to_owned(), words::length)) }
            td data-label="Restarts" .right .bad[service.restarts > 0] { (service.restarts) }
            td data-label="Last exit" { bdi { (service.last_exit.as_deref().unwrap_or("—")) } }
            td data-label="Says" { bdi { (words::shortened(service.says.as_deref().unwrap_or("—"), 200)) } }
        }
    }
}

fn hooks(manifest: &Manifest) -> Markup {
    html! {
        table .list {
            thead { tr { th scope="col" { "Hook" } th scope="col" { "Outcome" } th scope="col" .right { "Files" } th scope="col" { "SHA-256 of what ran" } } }
            tbody { @for hook in &manifest.hooks { (hook_line(hook, &manifest.files)) } }
        }
        details {
            summary { (manifest.files.len()) " files and folders that they wrote" }
            table .list {
                thead { tr { th scope="col" { "Path" } th scope="col" { "Mode" } th scope="col" { "Hook" } } }
                tbody {
                    @for (path, file) in manifest.files.iter().take(SHOWN) {
                        tr {
                            th scope="row" { span .path { bdi { (path.to_string_lossy()) } } }
                            td data-label="Mode" { code { (file.mode) } }
                            td data-label="Hook" { bdi { (file.hook) } }
                        }
                    }
                }
            }
            @if manifest.files.len() > SHOWN { p { "and " (manifest.files.len() - SHOWN) " more" } }
        }
    }
}

fn hook_line(hook: &Hook, files: &BTreeMap<PathBuf, Rendered>) -> Markup {
    let written = files.values().filter(|file| file.hook == hook.name).count();
    html! {
        tr {
            th scope="row" {
                bdi { (hook.name) }
                @if let Some(component) = &hook.component { span .faint { " · " bdi { (component) } } }
            }
            td data-label="Outcome" {
                @if hook.succeeded { span .phase.good { "done" } } @else { span .phase.bad { "failed" } }
                @if hook.fell_back { span .why { "the component that last ran well, not the one in hooks.d" } }
            }
            td data-label="Files" .right { (written) }
            td data-label="SHA-256" {
                @match &hook.sha256 {
                    Some(digest) => code .digest { (digest) },
                    None => span .faint { "built in" },
                }
            }
        }
    }
}
