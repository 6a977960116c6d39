//! A cluster to work with by hand, or for several runs of tests: `test_cluster` starts one, writes what to set so that
//! tests use it, and ends it when its standard input closes.

use std::process::ExitCode;

use biomero_tests::cluster::{CLUSTER_VARIABLE, Cluster, Options};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            #[expect(clippy::print_stderr, reason = "why there is none")]
            {
                eprintln!("test_cluster: {trouble}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let scratch = Scratch::new()?;
    let cluster = Cluster::start(scratch.path(), &Options::default())?;
    #[expect(clippy::print_stdout, reason = "the answer")]
    {
        println!("export {CLUSTER_VARIABLE}={}", scratch.path().display());
        println!("# ssh -F {} {}", cluster.ssh_config().display(), cluster.alias());
    }
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())
        .map(drop)
        .map_err(Trouble::doing("wait for the end of standard input"))
}
