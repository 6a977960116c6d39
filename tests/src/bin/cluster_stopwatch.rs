//! Asks a cluster. `cluster_stopwatch commands CONFIG HOST CONTROL COUNT` runs `true` that often over one connection and
//! writes how long that took, in seconds, connecting included; `first` ends at the first answer; `hold` keeps the connection
//! until standard input ends.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use biomero_slurm::cluster::{HostKeys, SshOptions};
use biomero_slurm::{Cluster, Command};
use biomero_tests::{Result, Trouble};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            #[expect(clippy::print_stderr, reason = "why there is none")]
            {
                eprintln!("cluster_stopwatch: {trouble}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let begin = Instant::now();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [verb, config, host, control, rest @ ..] = arguments.as_slice() else {
        return Err(Trouble::new("write: first|commands|hold CONFIG HOST CONTROL [COUNT]"));
    };
    let options = SshOptions {
        host: host.clone(),
        config: Some(PathBuf::from(config)),
        host_keys: HostKeys::Strict,
        connect: Duration::from_secs(60),
        keep_alive: Duration::from_secs(15),
        sessions: 8,
        control: PathBuf::from(control),
    };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime =
        builder.worker_threads(2).enable_all().build().map_err(Trouble::doing("start a runtime"))?;
    let cluster = Cluster::over_ssh(options);
    let count = match rest {
        [count] => count.parse().map_err(|_| Trouble::new("COUNT is a number"))?,
        _ => 1,
    };
    runtime.block_on(async {
        for _ in 0..count {
            let asked = cluster.ask(&Command::new("true")).await;
            asked.map_err(|error| Trouble::new(error.to_string()))?;
        }
        let took = begin.elapsed().as_secs_f64();
        let line = if verb == "hold" { "connected".to_owned() } else { took.to_string() };
        let mut output = std::io::stdout();
        writeln!(output, "{line}").and_then(|()| output.flush()).map_err(Trouble::doing("write"))?;
        if verb == "hold" {
            std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).map_err(Trouble::doing("wait"))?;
        }
        cluster.close().await;
        Ok(())
    })
}
