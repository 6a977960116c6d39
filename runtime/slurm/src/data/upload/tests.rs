//! Uploads to this machine itself: the same commands as over SSH, without a server. What needs one is in the black-box tests.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::Mutex;

use super::*;

/// What is in a folder: kind, mode, time and content of each name.
fn tree(root: &Path) -> BTreeMap<PathBuf, (char, u32, i64, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in Walk::new(root).expect("a folder") {
        let entry = entry.expect("an entry");
        let full = root.join(&entry.path);
        let metadata = fs::symlink_metadata(&full).expect("an entry");
        let value = match &entry.what {
            What::File => {
                ('f', entry.mode, metadata.mtime(), metadata.mtime_nsec(), fs::read(&full).expect("a file"))
            }
            What::Folder => ('d', entry.mode, 0, 0, Vec::new()),
            What::Link(leads) => ('l', 0, 0, 0, leads.as_os_str().as_bytes().to_vec()),
        };
        found.insert(entry.path, value);
    }
    found
}

/// A folder with names that hurt.
fn hostile(root: &Path) {
    let long = "n".repeat(255);
    let deep = format!("{}/{}/{}/x", "a".repeat(200), "b".repeat(200), "c".repeat(200));
    let names: [&[u8]; 20] = [
        b"plain.tif",
        b"with space",
        b"quote'",
        b"double\"",
        b"$(touch pwned)",
        b"`id`",
        b"line\nbreak",
        b"end\n",
        b"-rf",
        b"--",
        b"back\\slash",
        b"\\n",
        b"[brackets]*?",
        b"\xff\xfe invalid",
        "日本 \u{202e}".as_bytes(),
        b" lead",
        b"tab\t\r",
        b"sub/-n",
        long.as_bytes(),
        deep.as_bytes(),
    ];
    for (number, name) in names.iter().enumerate() {
        let path = root.join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, [name.to_vec(), vec![7; number * 300]].concat()).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400 | u32::try_from(number).expect("small")))
            .expect("a mode");
    }
    fs::write(root.join("empty"), "").expect("a file");
    fs::create_dir_all(root.join("empty folder/inner")).expect("a folder");
    symlink("../plain.tif", root.join("sub/link")).expect("a link");
}

async fn sent(source: &Path, target: &Path) -> Result<Uploaded, Error> {
    upload(&Cluster::local(), &Upload::new(source, target)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_name_mode_and_time_arrives_and_nothing_is_left_beside() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, target) = (folder.path().join("source"), folder.path().join("data/in"));
    fs::create_dir(&source).expect("a folder");
    hostile(&source);
    let done = sent(&source, &target).await.expect("an upload");
    assert_eq!(done.entries, u64::try_from(tree(&source).len()).expect("a count"));
    assert_eq!(tree(&source), tree(&target));
    let beside = fs::read_dir(folder.path().join("data")).expect("a folder");
    let mut beside: Vec<_> = beside.map(|entry| entry.expect("an entry").file_name()).collect();
    beside.sort();
    assert_eq!(beside, [".in.sent", "in"]);
    let again = sent(&source, &target).await.expect("the same upload");
    assert_eq!((again.sent, again.entries), (0, done.entries), "what is there was sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_tar_everything_arrives_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, target) = (folder.path().join("source"), folder.path().join("in"));
    fs::create_dir(&source).expect("a folder");
    hostile(&source);
    let cluster = Cluster::local();
    let mut sender = sender(&cluster, &source, &target).await;
    Arc::get_mut(&mut sender).expect("alone").form = Form::Plain;
    send_all(&sender, 2).await.expect("it is sent");
    sender.finish(folder.path(), OsStr::new("in"), true).await.expect("it is put in place");
    assert_eq!(tree(&source), tree(&target));
}

async fn sender(cluster: &Cluster, source: &Path, target: &Path) -> Arc<Sender> {
    sender_with(cluster, source, target, 2).await
}

async fn sender_with(cluster: &Cluster, source: &Path, target: &Path, streams: usize) -> Arc<Sender> {
    let (parent, name) = (target.parent().expect("a folder"), target.file_name().expect("a name"));
    let (root, is_folder, entries, bytes) = measure(source).expect("a source");
    let stage = prepare(cluster, parent, name).await.expect("a staging folder");
    Arc::new(Sender {
        cluster: cluster.clone(),
        root,
        file_name: (!is_folder).then(|| name.to_owned()),
        stage: parent.join(hidden(name, ".incoming")),
        target: target.to_owned(),
        state: stage.state,
        tool: stage.tool,
        form: Form::Tar,
        records: stage.records,
        sessions: Arc::new(Semaphore::new(streams)),
        meter: Arc::new(Meter::new(bytes, entries, None)),
        lists: AtomicU64::new(0),
        sent: AtomicU64::new(0),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_need_the_same_new_folders_do_not_trip_over_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("source");
    let deep = Path::new("a/b/c/d/e/f/g/h/i/j");
    fs::create_dir_all(source.join(deep)).expect("folders");
    let names: Vec<_> = (0..8).map(|number| deep.join(number.to_string())).collect();
    names.iter().for_each(|name| fs::write(source.join(name), "x").expect("a file"));
    for round in 0..25 {
        let target = folder.path().join(format!("in {round}"));
        let sender = sender_with(&Cluster::local(), &source, &target, names.len()).await;
        let mut under_way = JoinSet::new();
        for name in &names {
            let (sender, batch) =
                (Arc::clone(&sender), Batch { entries: vec![sender.look(name).expect("a file")] });
            under_way.spawn(async move { sender.batch(batch).await });
        }
        for sent in under_way.join_all().await {
            sent.expect("each stream finds or makes the folders it needs");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_small_or_large_or_empty_arrives_under_the_targets_name() {
    let folder = tempfile::tempdir().expect("a folder");
    for size in [0, 5, 70 << 20] {
        let (source, target) =
            (folder.path().join("a source"), folder.path().join(format!("-target {size}.zip")));
        fs::write(&source, pattern(size)).expect("a file");
        fs::set_permissions(&source, fs::Permissions::from_mode(0o640)).expect("a mode");
        let done = sent(&source, &target).await.expect("an upload");
        assert_eq!((done.entries, done.bytes), (1, size as u64));
        assert!(fs::read(&target).expect("a file") == pattern(size), "{size} bytes differ");
        let (here, there) = (fs::metadata(&source).expect("a file"), fs::metadata(&target).expect("a file"));
        assert_eq!(
            (here.mode(), here.mtime(), here.mtime_nsec()),
            (there.mode(), there.mtime(), there.mtime_nsec())
        );
        assert_eq!(sent(&source, &target).await.expect("the same").sent, 0);
    }
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from((at * 7 + at / 4_096) % 251).expect("small")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_and_right_is_not_sent_again_and_what_is_wrong_is_mended() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, target) = (folder.path().join("source"), folder.path().join("in"));
    fs::create_dir(&source).expect("a folder");
    fs::write(source.join("large"), pattern(150 << 20)).expect("a file");
    fs::write(source.join("gone later"), "x").expect("a file");
    for number in 0..600 {
        fs::write(source.join(format!("small {number}")), pattern(100)).expect("a file");
    }
    let cluster = Cluster::local();
    let sender = sender(&cluster, &source, &target).await;
    send_all(&sender, 2).await.expect("it is sent");
    // As if the process had been killed here; since then a disk has turned a byte, and the source lost a file.
    let staged = folder.path().join(".in.incoming/content");
    let mut large = fs::read(staged.join("large")).expect("a file");
    large[(64 << 20) + 5] ^= 1;
    fs::write(staged.join("large"), large).expect("a file");
    fs::remove_file(source.join("gone later")).expect("a file");
    let done = sent(&source, &target).await.expect("the second call");
    assert_eq!(tree(&source), tree(&target));
    let mended = 64 << 20;
    assert!((mended..mended + 600 * 100 + 1).contains(&done.sent), "{} bytes were sent", done.sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_sent_arrives_as_it_is_at_last() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, target) = (folder.path().join("source"), folder.path().join("in"));
    fs::create_dir(&source).expect("a folder");
    fs::write(source.join("growing"), pattern(1_000)).expect("a file");
    fs::write(source.join("large"), pattern(66 << 20)).expect("a file");
    let cluster = Cluster::local();
    let sender = sender(&cluster, &source, &target).await;
    let before: Vec<Entry> = Walk::new(&source).expect("a walk").collect::<Result<_, _>>().expect("entries");
    fs::write(source.join("growing"), pattern(5_000)).expect("a file");
    fs::write(source.join("large"), pattern(65 << 20)).expect("a file");
    for entry in before {
        if entry.size > 1_000 {
            sender.large(entry).await.expect("it is sent");
        } else {
            sender.batch(Batch { entries: vec![entry] }).await.expect("it is sent");
        }
    }
    sender.finish(folder.path(), OsStr::new("in"), true).await.expect("it is put in place");
    assert_eq!(tree(&source), tree(&target));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_put_there_is_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, target) = (folder.path().join("source"), folder.path().join("in"));
    fs::create_dir(&source).expect("a folder");
    fs::write(source.join("a"), "ours").expect("a file");
    fs::create_dir(&target).expect("a folder");
    fs::write(target.join("theirs"), "theirs").expect("a file");
    let refused = sent(&source, &target).await.expect_err("it is occupied");
    assert!(matches!(refused, Error::Occupied { .. }), "{refused}");
    assert_eq!(tree(&target).len(), 1);
    fs::remove_file(target.join("theirs")).expect("a file");
    sent(&source, &target).await.expect("an empty folder is no obstacle");
    fs::write(source.join("a"), "others").expect("a file");
    let refused = sent(&source, &target).await.expect_err("it was sent as another");
    assert!(matches!(refused, Error::Occupied { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_sees_all_of_it_arrive() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("source");
    fs::create_dir(&source).expect("a folder");
    fs::write(source.join("a"), pattern(100_000)).expect("a file");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let watcher = Arc::clone(&seen);
    let mut upload = Upload::new(&source, folder.path().join("in"));
    upload.watcher = Some(Arc::new(move |progress| watcher.lock().expect("a lock").push(progress)));
    super::upload(&Cluster::local(), &upload).await.expect("an upload");
    let seen = seen.lock().expect("a lock");
    let last = seen.last().expect("something");
    assert_eq!((last.bytes, last.of_bytes, last.entries, last.of_entries), (100_000, 100_000, 1, 1));
    assert!(seen.is_sorted_by_key(|progress| progress.bytes));
}
