//! Data to a real login node and back: whole, compared, and resumed whatever breaks.

use std::collections::BTreeMap;
use std::fs::{self, FileTimes};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use biomero_tests::cluster::{Login, PATIENCE, Sshd, sshd};
use biomero_tests::process::{self, Running};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, wait};

const PROGRAM: &str = env!("CARGO_BIN_EXE_slurm_transfer");
const MIB: usize = 1 << 20;

/// A login node of our own, and a folder here.
struct Node {
    sshd: Sshd,
    here: Scratch,
    _scratch: Scratch,
}

impl Node {
    fn start() -> Result<Self> {
        let scratch = Scratch::new()?;
        let sshd = Sshd::start(scratch.path(), &sshd::Options::default())?;
        Ok(Self { sshd, here: Scratch::new()?, _scratch: scratch })
    }

    fn login(&self) -> &Login {
        &self.sshd
    }

    fn there(&self, path: &str) -> PathBuf {
        self.login().home().join(path)
    }

    fn command(&self, direction: &str, source: &Path, target: &Path) -> Result<Command> {
        // Each process a socket of its own: what a killed one has left is its own.
        let control =
            self.here.folder(&format!("c{}", fs::read_dir(self.here.path()).map_or(0, Iterator::count)))?;
        let mut command = Command::new(PROGRAM);
        command.arg(direction).arg(self.login().ssh_config()).arg(control).arg(source).arg(target);
        Ok(command)
    }

    /// Moves it; the bytes that were moved.
    fn moved(&self, direction: &str, source: &Path, target: &Path) -> Result<u64> {
        let said = process::succeed(&mut self.command(direction, source, target)?, PATIENCE)?;
        said.trim().parse().map_err(|_| Trouble::new(format!("not a number of bytes: {said}")))
    }

    /// Fails to move it; what is said.
    fn refused(&self, direction: &str, source: &Path, target: &Path) -> Result<String> {
        let output = process::output(&mut self.command(direction, source, target)?, PATIENCE)?;
        assert!(!output.status.success(), "it was not refused: {}", process::both(&output));
        Ok(process::both(&output))
    }

    fn begun(&self, direction: &str, source: &Path, target: &Path) -> Result<Running> {
        let log = self.here.path().join("log");
        Running::start("a transfer", self.command(direction, source, target)?, &log)
    }
}

fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from((at * 7 + at / 4_096) % 251).unwrap_or(0)).collect()
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent)
        .and_then(|()| fs::write(path, content))
        .map_err(Trouble::doing(format!("write {}", path.display())))
}

/// Kind, mode and content of what is at a path.
type Found = (char, u32, Vec<u8>);

/// Of everything below a folder.
fn tree(root: &Path) -> Result<BTreeMap<PathBuf, Found>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let list =
            fs::read_dir(root.join(&folder)).map_err(Trouble::doing(format!("list {}", root.display())))?;
        for entry in list {
            let entry = entry.map_err(Trouble::doing("list a folder"))?;
            let (path, full) = (folder.join(entry.file_name()), entry.path());
            let metadata = fs::symlink_metadata(&full).map_err(Trouble::doing("look at an entry"))?;
            let mode = metadata.permissions().mode() & 0o777;
            let value = if metadata.is_dir() {
                folders.push(path.clone());
                ('d', 0, Vec::new())
            } else if metadata.is_symlink() {
                let leads = fs::read_link(&full).map_err(Trouble::doing("read a link"))?;
                ('l', 0, leads.as_os_str().as_bytes().to_vec())
            } else {
                ('f', mode, fs::read(&full).map_err(Trouble::doing("read a file"))?)
            };
            found.insert(path, value);
        }
    }
    Ok(found)
}

fn same(here: &Path, there: &Path) -> Result<()> {
    let (here, there) = (tree(here)?, tree(there)?);
    let names = |tree: &BTreeMap<PathBuf, _>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&here), names(&there));
    for (path, value) in &here {
        assert!(there.get(path) == Some(value), "{} differs", path.display());
    }
    Ok(())
}

/// Names that hurt, and some that are long.
fn hostile(root: &Path) -> Result<()> {
    let long = "n".repeat(255);
    let deep = format!("{0}/{0}/{0}/{0}/x", "d".repeat(240));
    let names: [&[u8]; 18] = [
        b"plain.ome.tiff",
        b"with space",
        b"quote'",
        b"double\"",
        b"$(touch pwned)",
        b"`touch pwned`",
        b"line\nbreak",
        b"\n",
        b"-rf",
        b"--help",
        b"back\\slash\\n",
        b"[brackets]*?{a,b}",
        b"\xff\xfe invalid",
        "日本 \u{202e}é".as_bytes(),
        b";touch pwned",
        b"~",
        long.as_bytes(),
        deep.as_bytes(),
    ];
    for (number, name) in names.iter().enumerate() {
        let path = root.join("names").join(std::ffi::OsStr::from_bytes(name));
        write(&path, &bytes(number * 3_001))?;
    }
    fs::create_dir_all(root.join("empty/inner")).map_err(Trouble::doing("make a folder"))?;
    symlink("plain.ome.tiff", root.join("names/link")).map_err(Trouble::doing("make a link"))
}

#[test]
fn every_name_goes_there_and_comes_back() -> Result<()> {
    let node = Node::start()?;
    let source = node.here.folder("source")?;
    hostile(&source)?;
    let sent = node.moved("up", &source, Path::new("my data/it's/in"))?;
    let there = node.there("my data/it's/in");
    same(&source, &there)?;
    assert!(sent > 0);
    assert!(!node.there("pwned").exists() && !node.there("my data/it's/pwned").exists());
    let back = node.here.path().join("results");
    node.moved("down", Path::new("my data/it's/in"), &back)?;
    // Links stay there.
    fs::remove_file(source.join("names/link")).map_err(Trouble::doing("remove a link"))?;
    same(&source, &back)
}

#[test]
fn ten_thousand_small_files_go_there_and_come_back_and_not_twice() -> Result<()> {
    let node = Node::start()?;
    let source = node.here.folder("source")?;
    for number in 0..10_000 {
        write(&source.join(format!("plane {}/z{number}.tif", number % 37)), &bytes(number % 700))?;
    }
    let (in_, back) = (Path::new("data/run/data/in"), node.here.path().join("back"));
    node.moved("up", &source, in_)?;
    same(&source, &node.there("data/run/data/in"))?;
    assert_eq!(node.moved("up", &source, in_)?, 0, "it was sent twice");
    node.moved("down", in_, &back)?;
    same(&source, &back)?;
    assert_eq!(node.moved("down", in_, &back)?, 0, "it was fetched twice");
    Ok(())
}

/// Large files and small ones, about 1 GiB.
fn mixed(root: &Path) -> Result<u64> {
    for number in 0..2 {
        write(&root.join(format!("large {number}")), &bytes(448 * MIB + number))?;
    }
    for number in 0..2_000 {
        write(&root.join(format!("small/{number}")), &bytes(32 << 10))?;
    }
    Ok(2 * 448 * MIB as u64 + 1 + ((2_000 * 32) << 10))
}

/// Waits until some of it has been recorded there as sent, while not all of it is.
fn some_is_recorded(running: &mut Running, journal: &Path) -> Result<()> {
    let log = running.log().to_owned();
    let recorded = || match fs::metadata(journal) {
        Ok(metadata) if metadata.is_dir() => fs::read_dir(journal).map_or(0, Iterator::count) >= 3,
        Ok(metadata) => metadata.len() > 390,
        Err(_) => false,
    };
    wait::until("some of it to be recorded", PATIENCE, &[&log], || recorded().then_some(()))?;
    assert!(running.status().is_none(), "it was over before it could be broken: {}", running.output());
    Ok(())
}

#[test]
fn an_upload_goes_on_where_a_killed_process_and_a_lost_node_stopped_it() -> Result<()> {
    let mut node = Node::start()?;
    let source = node.here.folder("source")?;
    let whole = mixed(&source)?;
    let (target, journal) = (Path::new("data/in"), node.there("data/.in.incoming/journal"));

    let mut first = node.begun("up", &source, target)?;
    some_is_recorded(&mut first, &journal)?;
    first.signal(nix::sys::signal::Signal::SIGKILL)?;
    first.ended_within(PATIENCE)?;
    assert!(!node.there("data/in").exists(), "half of it is seen");
    node.sshd.cut();

    let before = fs::read_dir(&journal).map_or(0, Iterator::count);
    let mut second = node.begun("up", &source, target)?;
    let log = second.log().to_owned();
    wait::until("more to be recorded", PATIENCE, &[&log], || {
        (fs::read_dir(&journal).map_or(0, Iterator::count) > before + 1).then_some(())
    })?;
    assert!(second.status().is_none(), "it was over before it could be broken: {}", second.output());
    node.sshd.restart()?;
    assert!(!second.ended_within(PATIENCE)?.success(), "it did not notice: {}", second.output());

    let rest = node.moved("up", &source, target)?;
    assert!(rest > 0 && rest < whole - 4 * 64 * MIB as u64, "{rest} of {whole} bytes were sent again");
    same(&source, &node.there("data/in"))
}

#[test]
fn a_download_goes_on_where_a_killed_process_stopped_it() -> Result<()> {
    let node = Node::start()?;
    let out = node.there("out");
    let whole = mixed(&out)?;
    let back = node.here.path().join("back");
    let mut first = node.begun("down", Path::new("out"), &back)?;
    some_is_recorded(&mut first, &node.here.path().join(".back.incoming/journal"))?;
    first.signal(nix::sys::signal::Signal::SIGKILL)?;
    first.ended_within(PATIENCE)?;
    assert!(!back.exists(), "half of it is seen");
    node.sshd.cut();
    let rest = node.moved("down", Path::new("out"), &back)?;
    assert!(rest > 0 && rest < whole - 2 * 64 * MIB as u64, "{rest} of {whole} bytes were fetched again");
    same(&out, &back)
}

#[test]
fn a_byte_that_is_wrong_on_the_other_disk_is_found_and_mended() -> Result<()> {
    let node = Node::start()?;
    let source = node.here.folder("source")?;
    // Nothing but large files: what is recorded first is of them, on a slow machine too.
    for number in 0..2 {
        write(&source.join(format!("large {number}")), &bytes(448 * MIB + number))?;
    }
    let mut first = node.begun("up", &source, Path::new("data/in"))?;
    some_is_recorded(&mut first, &node.there("data/.in.incoming/journal"))?;
    first.signal(nix::sys::signal::Signal::SIGKILL)?;
    first.ended_within(PATIENCE)?;
    node.sshd.cut();
    let content = node.there("data/.in.incoming/content");
    let staged = ["large 0", "large 1"].map(|name| content.join(name)).into_iter().find(|file| file.exists());
    let staged = staged.ok_or_else(|| Trouble::new("nothing is staged".to_owned()))?;
    // The size and the time stay what they are: only a digest can tell.
    let file =
        fs::OpenOptions::new().read(true).write(true).open(&staged).map_err(Trouble::doing("open it"))?;
    let written =
        file.metadata().and_then(|metadata| metadata.modified()).map_err(Trouble::doing("look at it"))?;
    file.write_all_at(b"!", 5).map_err(Trouble::doing("turn a byte"))?;
    file.set_times(FileTimes::new().set_modified(written)).map_err(Trouble::doing("set its time"))?;
    node.moved("up", &source, Path::new("data/in"))?;
    same(&source, &node.there("data/in"))
}

#[test]
fn a_full_disk_there_is_told_and_what_was_sent_is_not_lost() -> Result<()> {
    let node = Node::start()?;
    let mount = node.there("small");
    fs::create_dir(&mount).map_err(Trouble::doing("make a folder"))?;
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o", "size=200m,mode=777", "tmpfs"]).arg(&mount);
    process::succeed(&mut command, PATIENCE)?;
    let _mounted = Mounted(mount.clone());
    let source = node.here.folder("source")?;
    write(&source.join("a large"), &bytes(280 * MIB))?;
    for number in 0..40 {
        write(&source.join(format!("small {number}")), &bytes(MIB))?;
    }
    let target = Path::new("small/data/in");
    let said = node.refused("up", &source, target)?;
    assert!(said.contains("no space is left there"), "{said}");
    assert!(!node.there("small/data/in").exists());
    let mut larger = Command::new("mount");
    larger.args(["-o", "remount,size=600m"]).arg(&mount);
    process::succeed(&mut larger, PATIENCE)?;
    let rest = node.moved("up", &source, target)?;
    assert!(rest < 320 * MIB as u64, "all of it was sent again");
    same(&source, &node.there("small/data/in"))
}

/// A file system that is mounted until this is dropped.
pub(super) struct Mounted(pub(super) PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a session of the node may still stand in it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn what_is_written_to_meanwhile_arrives_as_it_is_at_last() -> Result<()> {
    let node = Node::start()?;
    let source = node.here.folder("source")?;
    write(&source.join("growing"), &bytes(300 * MIB))?;
    let mut first = node.begun("up", &source, Path::new("data/in"))?;
    some_or_two(&node)?;
    let file = fs::OpenOptions::new()
        .append(true)
        .open(source.join("growing"))
        .map_err(Trouble::doing("open it"))?;
    file.write_all_at(b"", 0).map_err(Trouble::doing("write"))?;
    fs::OpenOptions::new()
        .write(true)
        .open(source.join("growing"))
        .and_then(|file| file.write_all_at(b"changed", 7).and_then(|()| file.set_modified(SystemTime::now())))
        .map_err(Trouble::doing("change it"))?;
    assert!(first.ended_within(PATIENCE)?.success(), "{}", first.output());
    same(&source, &node.there("data/in"))
}

fn some_or_two(node: &Node) -> Result<()> {
    let journal = node.there("data/.in.incoming/journal");
    wait::until("the first piece", PATIENCE, &[], || {
        (fs::read_dir(&journal).map_or(0, Iterator::count) >= 1).then_some(())
    })
}

#[test]
fn links_out_of_the_results_and_of_the_input_are_not_followed() -> Result<()> {
    let node = Node::start()?;
    let secret = node.here.path().join("secret");
    write(&secret, b"secret")?;
    write(&node.there("out/a"), b"result")?;
    symlink("/etc/passwd", node.there("out/passwd")).map_err(Trouble::doing("make a link"))?;
    symlink("/", node.there("out/root")).map_err(Trouble::doing("make a link"))?;
    nix::unistd::mkfifo(&node.there("out/pipe"), nix::sys::stat::Mode::S_IRWXU)
        .map_err(|error| Trouble::new(format!("no pipe: {error}")))?;
    let back = node.here.path().join("back");
    node.moved("down", Path::new("out"), &back)?;
    assert_eq!(tree(&back)?.keys().collect::<Vec<_>>(), [Path::new("a")]);
    let source = node.here.folder("source")?;
    symlink(&secret, source.join("way out")).map_err(Trouble::doing("make a link"))?;
    let said = node.refused("up", &source, Path::new("in"))?;
    assert!(said.contains("way out") && said.contains("symbolic link"), "{said}");
    assert!(!node.there("in").exists());
    Ok(())
}

#[test]
fn two_gigabytes_move_in_thirty_two_megabytes_of_memory() -> Result<()> {
    let node = Node::start()?;
    let source = node.here.folder("source")?;
    let large = fs::File::create(source.join("large")).map_err(Trouble::doing("make a file"))?;
    for part in 0..1_536_u64 {
        large
            .write_all_at(&vec![u8::try_from(part % 251).unwrap_or(0); MIB], part << 20)
            .map_err(Trouble::doing("fill a file"))?;
    }
    drop(large);
    for number in 0..8_192 {
        write(&source.join(format!("small/{number}")), &bytes(64 << 10))?;
    }
    for (direction, from, to) in [
        ("up", source.clone(), PathBuf::from("in")),
        ("down", PathBuf::from("in"), node.here.path().join("back")),
    ] {
        let peak = node.here.path().join("peak");
        let transfer = node.command(direction, &from, &to)?;
        let mut measured = Command::new(env!("CARGO_BIN_EXE_peak_memory"));
        measured.arg(&peak).arg(transfer.get_program()).args(transfer.get_args());
        process::succeed(&mut measured, Duration::from_secs(600))?;
        let peak = fs::read_to_string(&peak).map_err(Trouble::doing("read the peak"))?;
        let kib: u64 = peak.trim().parse().map_err(|_| Trouble::new(format!("no number: {peak}")))?;
        assert!(kib <= 32 << 10, "{direction}: {kib} KiB");
    }
    Ok(())
}
