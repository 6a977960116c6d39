//! Measures how long it takes to learn how jobs stand, from within one process with one connection, as a worker has it.
//!
//! Arguments: the SSH configuration, a folder for the control socket, how many rounds, then the ids. Answers the nanoseconds
//! of each round, and at last how many jobs were told.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use biomero_slurm::Cluster;
use biomero_slurm::cluster::{HostKeys, SshOptions};
use biomero_slurm::job::JobId;
use biomero_slurm::scheduler::{Slurm, SlurmOptions};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            #[allow(clippy::print_stderr, reason = "why it ended")]
            {
                eprintln!("state_stopwatch: {reason}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let [config, control, rounds, ids @ ..] = arguments else {
        return Err("say the SSH configuration, a folder, the rounds and the ids".into());
    };
    let rounds: u32 = rounds.parse()?;
    let ids: Vec<JobId> = ids.iter().map(|id| id.parse()).collect::<std::result::Result<_, _>>()?;
    let options = SshOptions {
        host: biomero_tests::cluster::ALIAS.to_owned(),
        config: Some(config.into()),
        host_keys: HostKeys::Strict,
        connect: Duration::from_secs(60),
        keep_alive: Duration::from_secs(15),
        sessions: 4,
        control: control.into(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let cluster = Cluster::over_ssh(options);
    let slurm = Slurm::new(cluster.clone(), SlurmOptions::default());
    let mut output = std::io::stdout();
    runtime.block_on(async {
        // Connecting is not what is measured.
        let mut told = slurm.states(&ids).await?.len();
        for _ in 0..rounds {
            let begun = Instant::now();
            told = slurm.states(&ids).await?.len();
            writeln!(output, "{}", begun.elapsed().as_nanos())?;
        }
        writeln!(output, "{told}")?;
        cluster.close().await;
        Ok(())
    })
}
