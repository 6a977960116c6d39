//! Moves data over SSH by our own code, as a process that can be killed and measured:
//! `slurm_transfer up|down SSH_CONFIG CONTROL SOURCE TARGET`, where CONTROL is a folder for the control socket. Writes how
//! many bytes were moved by this call.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use biomero_slurm::Cluster;
use biomero_slurm::cluster::{HostKeys, SshOptions};
use biomero_slurm::data::{Download, Error, Upload, download, upload};
use biomero_tests::cluster::ALIAS;

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [direction, config, control, source, target] = arguments.as_slice() else { return ExitCode::from(2) };
    // As the worker's own program has it.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let Ok(runtime) = runtime else { return ExitCode::from(2) };
    let cluster = Cluster::over_ssh(SshOptions {
        host: ALIAS.to_owned(),
        config: Some(config.clone()),
        host_keys: HostKeys::Strict,
        connect: Duration::from_secs(60),
        keep_alive: Duration::from_secs(15),
        sessions: 10,
        control: control.clone(),
    });
    let moved: Result<u64, Error> = runtime.block_on(async {
        let moved = if direction.as_os_str() == "up" {
            upload(&cluster, &Upload::new(source, target)).await.map(|done| done.sent)
        } else {
            download(&cluster, &Download::new(source, target)).await.map(|done| done.fetched)
        };
        cluster.close().await;
        moved
    });
    let (text, code) = match moved {
        Ok(bytes) => (format!("{bytes}\n"), ExitCode::SUCCESS),
        Err(error) => (format!("{error}\n"), ExitCode::FAILURE),
    };
    if std::io::stdout().write_all(text.as_bytes()).is_err() {
        return ExitCode::from(2);
    }
    code
}
