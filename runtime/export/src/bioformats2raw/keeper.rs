//! What clears up after us where we cannot: a shell that waits for the end of a pipe which we hold. Killed by whatever signal,
//! we leave neither a process nor a folder behind.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// `group` is what is killed while it runs; `done` is said once there is nothing left to do. What was just killed may still write.
/// Not every shell's `kill` knows `--`.
const SCRIPT: &str = r#"folder=$1 group=
while read -r word number; do
    case $word in
        group) group=$number ;;
        ended) group= ;;
        done) exit 0 ;;
    esac
done
if [ -n "$group" ]; then kill -KILL "-$group" 2> /dev/null; fi
rm -rf -- "$folder" || { sleep 1; rm -rf -- "$folder"; }
"#;

/// The shell.
#[derive(Debug)]
pub(super) struct Keeper {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Keeper {
    /// For this folder.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", SCRIPT, "keeper"]).arg(folder).current_dir("/");
        // Not in our group: what ends us by Ctrl-C has to leave it.
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut shell = shell.spawn()?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }

    /// From now on this group is killed.
    pub(super) fn watch(&mut self, group: u32) {
        self.say(&format!("group {group}\n"));
    }

    /// From now on it is not: its number may be another's.
    pub(super) fn ended(&mut self) {
        self.say("ended\n");
    }

    /// There is nothing left to do.
    pub(super) fn dismiss(&mut self) {
        self.say("done\n");
        self.pipe = None;
        let _ = self.shell.wait();
    }

    fn say(&mut self, word: &str) {
        if let Some(pipe) = &mut self.pipe {
            // Where it is gone there is nobody to clear up, and nothing else to be done about it.
            let _ = pipe.write_all(word.as_bytes());
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.pipe = None;
        let _ = self.shell.wait();
    }
}
