//! A workflow in the demo: the service that `init` keeps is asked for it, and carries it from an image to its results.

use std::path::Path;
use std::time::Duration;

use biomero_tests::cluster::Image;
use biomero_tests::cluster::worker::{self, CONVERTER, THRESHOLD, VERSION, WORKFLOW};
use biomero_tests::namespace::{Namespace, Worker};
use biomero_tests::worker_root::{self, INIT, PROCESSOR};
use biomero_tests::{containers, process, wait};

use super::{heading, images, quoted};
use crate::failure::Failure;

/// Where results go.
pub(super) const RESULTS: &str = "/opt/omero/server/results";

/// Images of several hundred megabytes are copied and unpacked on the way.
const LONGEST: Duration = Duration::from_secs(600);

/// For the worker's settings: descriptors are on its disk, as the demo needs no network.
pub(super) const SETTINGS: &str = "[slurm]\ndescriptors = \"/etc/biomero/descriptors\"\n";

/// The images of the workflow and of its converter, by the names under which they are pulled.
pub(super) fn images() -> [(Image, String); 2] {
    [
        (Image::Threshold, format!("{THRESHOLD}:{VERSION}")),
        (Image::ZarrToTiff, format!("{CONVERTER}:{VERSION}")),
    ]
}

/// Puts what a deployment mounts into the root folder: `slurm-config.ini`, with these lines, and the descriptor.
pub(super) fn install(root: &Path, config: &str) -> Result<(), Failure> {
    // The workflows of the image are on GitHub, which the demo does without.
    worker_root::write(
        root,
        "opt/omero/server/slurm-config.ini",
        &format!("[-MODELS]\n*\n\n{config}"),
        0o644,
    )?;
    let descriptor = Image::Threshold.descriptor().unwrap_or_default();
    worker_root::write(root, &format!("etc/biomero/descriptors/{WORKFLOW}.json"), descriptor, 0o644)?;
    Ok(())
}

/// The same for a machine without Slurm, with a container runtime.
pub(super) fn install_alone(root: &Path) -> Result<(), Failure> {
    heading("A machine without Slurm, and with no database: what runs containers, and a registry of images");
    let images = images();
    let images: Vec<(Image, &str)> = images.iter().map(|(image, name)| (*image, name.as_str())).collect();
    containers::install(root, "", &images)?;
    install(root, &worker::workflows(""))
}

/// From nothing to results, as an administrator and then a user would.
pub(super) fn show(worker: &Worker, namespace: &Namespace) -> Result<(), Failure> {
    let run = |arguments: &[&str], code: i32| -> Result<(), Failure> {
        heading(&format!("`processor {}`", quoted(arguments)));
        let command = [&[PROCESSOR], arguments].concat();
        let finished = worker.exec_within(namespace, &command, LONGEST)?.exits(code)?;
        print!("{}{}", finished.errors, finished.output);
        Ok(())
    };
    run(&["slurm", "validate"], FINDINGS)?;
    run(&["slurm", "init", "--wait"], 0)?;
    run(&["slurm", "validate", "--job"], 0)?;
    run(&["slurm", "workflows", WORKFLOW], 0)?;
    ready(worker, namespace)?;
    let image = images::first();
    let asked =
        ["run", WORKFLOW, "--image", &image, "--param", "threshold_scale=0.9", "--user", "2", "--group", "3"];
    run(&[&asked[..], &["--output", RESULTS, "--watch"]].concat(), 0)?;
    run(&["workflows"], 0)?;
    run(&["slurm", "jobs", "--all"], 0)?;

    heading("What has come back");
    let mut list = std::process::Command::new("ls");
    list.args(["-l", "--numeric-uid-gid"]).arg(namespace.path(RESULTS));
    print!("{}", process::succeed(&mut list, wait::PATIENCE)?);
    images::show_results(worker, namespace, RESULTS)
}

/// Waits until every service is ready, and shows them.
fn ready(worker: &Worker, namespace: &Namespace) -> Result<(), Failure> {
    heading("`init status`: the service that carries workflows");
    let status = wait::until("all services to be ready", wait::PATIENCE * 2, &[namespace.log()], || {
        worker.exec(namespace, &[INIT, "status"]).ok()?.exits(0).ok()
    })?;
    print!("{}", status.output);
    Ok(())
}

/// `processor slurm validate` where something is to be done.
const FINDINGS: i32 = 2;
