//! The folders of data, images, scripts and converters: there, writable, with room.

use crate::setup::end_of;
use crate::setup::facts::{Facts, Room};
use crate::setup::finding::Finding;
use crate::setup::login::quoted;

/// Less room than this is told, in kibibytes: 5 GiB, about one image and its layers.
const LITTLE: u64 = 5 << 20;
/// Less than this is too little for anything: 100 MiB.
const TOO_LITTLE: u64 = 100 << 10;
/// Fewer free files than this are told: a small OME-Zarr has as many.
const FEW: u64 = 10_000;

pub(super) fn findings(kind: &str, configured: &str, facts: &Facts) -> Vec<Finding> {
    let step = format!("{kind} folder");
    let Some(path) = facts.of(kind, "path") else {
        return vec![Finding::not_tried(step, format!("the login node told nothing about {configured}"))];
    };
    let typed = quoted(path.as_ref());
    let reason = facts.of(kind, "write").filter(|told| *told != "yes");
    let mut findings = Vec::new();
    match (facts.of(kind, "is"), reason) {
        (Some("folder"), None) => {
            let real = facts.of(kind, "real").filter(|real| *real != path);
            let told = real.map_or_else(
                || format!("{path} can be written"),
                |real| format!("{path} ({real}) can be written"),
            );
            findings.push(Finding::ok(&step, told));
        }
        (Some("folder"), Some(reason)) => {
            let remedy = if is_full(reason) {
                format!("make room: df -h {typed}; quota -s")
            } else {
                format!("as its owner: chmod u+rwx {typed}; see ls -ld {typed}")
            };
            findings.push(Finding::failed(
                &step,
                format!("{path} cannot be written: {}", end_of(reason, 300)),
                remedy,
            ));
        }
        (Some("other"), _) => findings.push(Finding::failed(
            &step,
            format!("{path} is there and no folder"),
            format!("ls -l {typed}, and move it away, or correct slurm-config.ini"),
        )),
        (Some("absent"), None) => findings.push(Finding::failed(
            &step,
            format!("{path} is not there; it can be made"),
            "processor slurm init",
        )),
        (Some("absent"), Some(reason)) => {
            let nearest = facts.of(kind, "nearest").unwrap_or("/");
            findings.push(Finding::failed(
                &step,
                format!("{path} is not there, and cannot be made in {nearest}: {}", end_of(reason, 300)),
                format!("correct the path in slurm-config.ini, or have it made: mkdir -p {typed}"),
            ));
        }
        _ => findings
            .push(Finding::not_tried(&step, format!("the login node did not come to an end with {path}"))),
    }
    findings.extend(of_room(kind, &typed, facts));
    findings
}

fn is_full(reason: &str) -> bool {
    reason.contains("No space left") || reason.contains("quota exceeded")
}

fn of_room(kind: &str, typed: &str, facts: &Facts) -> Vec<Finding> {
    let step = format!("{kind} room");
    let mut findings = Vec::new();
    if let Some(Room { all, free }) = facts.room(kind, "space") {
        let told = format!("{} of {} are free", size(free), size(all));
        let remedy = format!("make room: df -h {typed}");
        findings.push(match free {
            free if free < TOO_LITTLE => Finding::failed(&step, told, remedy),
            free if free < LITTLE => Finding::warning(&step, told, remedy),
            _ => Finding::ok(&step, told),
        });
    }
    if let Some(Room { all, free }) = facts.room(kind, "inodes")
        && all > 0
        && free < FEW
    {
        let told = format!("only {free} more files can be made");
        findings.push(Finding::warning(&step, told, format!("remove files: df -i {typed}")));
    }
    findings
}

/// Kibibytes for people.
fn size(kibibytes: u64) -> String {
    let mebibytes = kibibytes >> 10;
    if mebibytes < 10_240 { format!("{mebibytes} MiB") } else { format!("{} GiB", mebibytes >> 10) }
}

pub(super) fn quota(facts: &Facts) -> Option<Finding> {
    const STEP: &str = "quota";
    let said = facts.get("quota")?;
    // quota(1) marks what is above its limit with an asterisk.
    let over: Vec<&str> = said
        .lines()
        .filter(|line| {
            line.split_whitespace().any(|word| {
                word.strip_suffix('*').is_some_and(|number| {
                    !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
                })
            })
        })
        .collect();
    if over.is_empty() {
        return Some(Finding::ok(STEP, "within its limits"));
    }
    Some(Finding::failed(
        STEP,
        format!("exceeded: {}", end_of(&over.join("; "), 300)),
        "quota -s; remove what is not needed",
    ))
}
