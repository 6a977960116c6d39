//! Downloads from this machine itself: the same commands as over SSH, without a server.

use std::os::unix::fs::{MetadataExt as _, symlink};

use super::*;
use crate::data::source::Walk;

fn tree(root: &Path) -> Vec<(Entry, Vec<u8>)> {
    let entries = Walk::new(root).expect("a folder").map(|entry| entry.expect("an entry"));
    entries
        .map(|mut entry| {
            let content = fs::read(root.join(&entry.path)).unwrap_or_default();
            if entry.what == What::Folder {
                entry.modified = (0, 0);
            }
            (entry, content)
        })
        .collect()
}

async fn fetched(source: &Path, target: &Path) -> Result<Downloaded, Error> {
    download(&Cluster::local(), &Download::new(source, target)).await
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from((at * 7 + at / 4_096) % 251).expect("small")).collect()
}

fn hostile(root: &Path) {
    use std::os::unix::ffi::OsStrExt as _;
    let long = "n".repeat(255);
    let names: [&[u8]; 12] = [
        b"plain.tif",
        b"quote'",
        b"$(touch pwned)",
        b"line\nbreak",
        b"-rf",
        b"back\\slash",
        b"\xff\xfe",
        b" ",
        b"sub/-n",
        b"sub/deeper/[x]*?",
        long.as_bytes(),
        b"empty",
    ];
    for (number, name) in names.iter().enumerate() {
        let path = root.join(std::ffi::OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, pattern(if *name == b"empty" { 0 } else { number * 40_000 })).expect("a file");
    }
    fs::create_dir(root.join("empty folder")).expect("a folder");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_name_comes_back_and_the_second_call_finds_it_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, target) = (folder.path().join("out"), folder.path().join("here/results"));
    fs::create_dir(&source).expect("a folder");
    hostile(&source);
    let done = fetched(&source, &target).await.expect("a download");
    assert_eq!(tree(&source), tree(&target));
    assert_eq!(done.fetched, done.bytes);
    assert_eq!(fetched(&source, &target).await.expect("the same").fetched, 0);
    let beside = fs::read_dir(folder.path().join("here")).expect("a folder").count();
    assert_eq!(beside, 2, "something is left beside the target and its journal");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_told_and_not_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, target) = (folder.path().join("out"), folder.path().join("results"));
    fs::create_dir(&source).expect("a folder");
    fs::write(source.join("a"), "content").expect("a file");
    symlink("/etc/passwd", source.join("password")).expect("a link");
    symlink("..", source.join("up")).expect("a link");
    let done = fetched(&source, &target).await.expect("a download");
    assert_eq!(done.skipped, [Path::new("password"), Path::new("up")]);
    assert_eq!(tree(&target).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_here_is_not_fetched_again_and_what_is_wrong_is_mended() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, target) = (folder.path().join("out"), folder.path().join("results"));
    fs::create_dir(&source).expect("a folder");
    hostile(&source);
    fs::write(source.join("large"), pattern(150 << 20)).expect("a file");
    fetched(&source, &target).await.expect("a download");
    // As if it had been killed before the renames; since then a disk has turned a byte.
    let stage = folder.path().join(".results.incoming");
    fs::create_dir(&stage).expect("a folder");
    fs::rename(&target, stage.join("content")).expect("a folder");
    fs::rename(folder.path().join(".results.received"), stage.join("journal")).expect("a file");
    let large = fs::OpenOptions::new().write(true).open(stage.join("content/large")).expect("a file");
    std::os::unix::fs::FileExt::write_all_at(&large, b"!", (70 << 20) + 1).expect("a byte");
    let done = fetched(&source, &target).await.expect("the second call");
    assert_eq!(done.fetched, 64 << 20, "one piece is wrong");
    assert_eq!(tree(&source), tree(&target));
}

#[tokio::test(flavor = "multi_thread")]
async fn chosen_results_come_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("out");
    fs::create_dir(&source).expect("a folder");
    hostile(&source);
    let mut download = Download::new(&source, folder.path().join("results"));
    download.selection = Selection::Chosen(vec!["sub".into(), "-rf".into()]);
    download.settle = true;
    super::download(&Cluster::local(), &download).await.expect("a download");
    let names: Vec<_> = tree(&download.target).into_iter().map(|(entry, _)| entry.path).collect();
    assert_eq!(names, ["-rf", "sub", "sub/-n", "sub/deeper", "sub/deeper/[x]*?"].map(PathBuf::from));
    download.selection = Selection::Chosen(vec!["missing".into()]);
    download.target = folder.path().join("others");
    let refused = super::download(&Cluster::local(), &download).await.expect_err("there is none");
    assert!(refused.to_string().contains("no such result"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_is_no_longer_true_costs_an_attempt_and_not_the_results() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, content) = (folder.path().join("out"), folder.path().join("content"));
    fs::create_dir(&source).expect("a folder");
    for name in ["a", "b", "c"] {
        fs::write(source.join(name), pattern(5_000)).expect("a file");
    }
    fs::write(source.join("large"), pattern(66 << 20)).expect("a file");
    let before: Vec<Entry> =
        Walk::new(&source).expect("a walk").map(|entry| entry.expect("an entry")).collect();
    fs::write(source.join("a"), pattern(9_000)).expect("a file");
    fs::write(source.join("large"), pattern(65 << 20)).expect("a file");
    let journal = fs::File::create(folder.path().join("journal")).expect("a file");
    let receiver = Arc::new(Receiver {
        cluster: Cluster::local(),
        source: source.clone(),
        content: content.clone(),
        target: folder.path().join("results"),
        finished: false,
        tool: Tool::Openssl,
        records: Records::new(),
        journal: Mutex::new(journal),
        sessions: Arc::new(Semaphore::new(2)),
        meter: Arc::new(Meter::new(0, 0, None)),
        fetched: AtomicU64::new(0),
    });
    let (large, small): (Vec<Entry>, Vec<Entry>) = before.into_iter().partition(|entry| entry.size > 5_000);
    receiver.batch(Batch { entries: small }).await.expect("they come");
    receiver.large(large[0].clone()).await.expect("it comes");
    assert_eq!(tree(&source), tree(&content));
    assert_eq!(fs::metadata(content.join("large")).expect("a file").mode() & 0o777, 0o644);
}
