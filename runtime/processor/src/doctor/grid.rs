//! OMERO: whether the registry of its grid and its router answer in Ice, by name, from here.

use std::net::ToSocketAddrs as _;
use std::time::{Duration, Instant};

use biomero_config::Settings;
use biomero_ice::{Communicator, NetworkEndpoint, Options};
use biomero_slurm::setup::finding::Finding;
use tokio::time::timeout;

/// How long each may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Looks at both.
pub(super) async fn look(settings: &Settings) -> Vec<Finding> {
    let Some(host) = &settings.master.host else {
        let remedy = "set master.host, or CONFIG_omero_master_host, where this worker is to serve an OMERO";
        return vec![Finding::warning("master", "no OMERO server is named", remedy)];
    };
    let named = host.clone();
    let resolving =
        tokio::task::spawn_blocking(move || (named.as_str(), 0).to_socket_addrs().map(|found| found.count()));
    match timeout(PATIENCE, resolving).await {
        Ok(Ok(Ok(count))) if count > 0 => {}
        _ => {
            let remedy = "check the name: `getent hosts`; in compose it is the service's";
            return vec![Finding::failed("master", format!("no address of {host} is known"), remedy)];
        }
    }
    let ports = &settings.omero.ports;
    let (registry, router) = tokio::join!(
        answers("IceGrid registry", host, &ports.prefix, ports.registry),
        answers("Glacier2 router", host, &ports.prefix, ports.tcp),
    );
    vec![registry, router]
}

/// Whether somebody who speaks Ice is there.
async fn answers(step: &str, host: &str, prefix: &str, port: u16) -> Finding {
    let Ok(port) = format!("{prefix}{port}").parse::<u16>() else {
        let told = format!("{prefix}{port} is no port");
        return Finding::failed(step, told, "correct omero.ports.prefix");
    };
    let begun = Instant::now();
    let communicator = Communicator::new(Options { timeout: PATIENCE, ..Options::default() });
    let endpoint = NetworkEndpoint::tcp(host, port);
    match timeout(PATIENCE, communicator.connect(&endpoint, None)).await {
        Ok(Ok(connection)) => {
            connection.close(Duration::from_secs(2)).await;
            Finding::ok(step, format!("{host}:{port} answers in {} ms", begun.elapsed().as_millis()))
        }
        Ok(Err(error)) => Finding::failed(step, error.to_string(), remedy(step)),
        Err(_) => {
            let told = format!("{host}:{port} does not answer within {} s", PATIENCE.as_secs());
            Finding::failed(step, told, remedy(step))
        }
    }
}

fn remedy(step: &str) -> String {
    format!(
        "see whether the {step} runs (`omero admin diagnostics` on the server) and a firewall lets this machine in"
    )
}
