//! A real browser without a screen, driven as a person would: it clicks, types, reads, and tells what it was asked for.
//!
//! Chromium is the system's; what drives it (Playwright) and what looks for barriers (axe) are installed once by npm. A script
//! of the fixtures is told what to do over its standard input and answers each line, so that a test asks the worker and looks
//! at the page in turns.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::kept::{self, INSTALLATION, Wanted};
use crate::scratch::Scratch;
use crate::{Result, Trouble, binary, process, wait};

/// The packages, in the versions of `package.json`.
const PACKAGES: &str = "page-1";
/// Playwright gives up after [`wait::PATIENCE`], and says of what.
const LONGEST: Duration = Duration::from_secs(90);
/// How long it may take to close its windows.
const END: Duration = Duration::from_secs(10);

/// How large a window is, and how light the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// As it stands in the names of pictures.
    pub name: &'static str,
    /// In CSS pixels.
    pub width: u32,
    /// In CSS pixels.
    pub height: u32,
    /// Whether its reader prefers dark colours.
    pub dark: bool,
}

/// A desk and a phone, in a light and in a dark room.
pub const LOOKS: [Look; 4] = [
    Look { name: "desk-light", width: 1280, height: 800, dark: false },
    Look { name: "desk-dark", width: 1280, height: 800, dark: true },
    Look { name: "phone-light", width: 390, height: 844, dark: false },
    Look { name: "phone-dark", width: 390, height: 844, dark: true },
];

/// What a page has done that its reader has not seen.
#[derive(Debug, Default)]
pub struct Heard {
    /// Errors and warnings, and what its policy has forbidden.
    pub complaints: Vec<String>,
    /// Every address it has asked.
    pub requests: Vec<String>,
    /// What it asked its reader to confirm.
    pub dialogs: Vec<String>,
}

/// A browser with one page, ended when dropped.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    input: Option<ChildStdin>,
    answers: Receiver<String>,
    base: String,
    scratch: Scratch,
}

impl Browser {
    /// A browser whose reader looks at what is served at an address of this machine, `127.0.0.1:8420`.
    ///
    /// # Errors
    /// Chromium or node is not installed, or npm finds no registry.
    pub fn at(address: &str) -> Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let fixtures = binary::workspace().join("tests/fixtures/page");
        let (chromium, modules) = (binary::find("chromium")?, modules()?);
        let scratch = Scratch::new()?;
        let errors = scratch.path().join("browser.log");
        let log = std::fs::File::create(&errors).map_err(Trouble::doing("make a log"))?;
        let mut node = Command::new(binary::find("node")?);
        node.arg(fixtures.join("browser.mjs")).arg(modules).arg(chromium);
        // Its profile goes with the folder, however it ends.
        node.env("TMPDIR", scratch.path()).env("HOME", scratch.path());
        let mut child = process::dies_with_us(&node)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(Trouble::doing("start node"))?;
        let input = child.stdin.take();
        let output = child.stdout.take().map(BufReader::new);
        let (tell, answers) = channel();
        std::thread::spawn(move || {
            let lines =
                output.into_iter().flat_map(|output| output.lines().map_while(std::result::Result::ok));
            for line in lines {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, input, answers, base: format!("http://{address}"), scratch })
    }

    /// Has it do something; what it tells.
    fn does(&mut self, verb: &str, mut how: Value) -> Result<Value> {
        let shown = format!("{verb} {how}");
        how["do"] = verb.into();
        let input = self.input.as_mut().ok_or_else(|| Trouble::new("the browser has ended"))?;
        writeln!(input, "{how}").map_err(Trouble::doing(format!("tell the browser to {shown}")))?;
        let failed = |why: &str| {
            let log = wait::ends_of(&[&self.scratch.path().join("browser.log")]);
            Trouble::new(format!("the browser cannot {shown}: {why}{log}"))
        };
        let answer = self.answers.recv_timeout(LONGEST).map_err(|error| failed(&error.to_string()))?;
        let mut answer: Value = serde_json::from_str(&answer).map_err(|error| failed(&error.to_string()))?;
        match answer["error"].as_str() {
            Some(error) => Err(failed(error)),
            None => Ok(answer["told"].take()),
        }
    }

    /// Forgets everything, cookies too: another reader.
    ///
    /// # Errors
    /// As of all that follows: the browser cannot, or not in time.
    pub fn stranger(&mut self) -> Result<()> {
        self.does("stranger", json!({})).map(drop)
    }

    /// Takes another window.
    ///
    /// # Errors
    /// As above.
    pub fn look(&mut self, look: Look) -> Result<()> {
        let Look { width, height, dark, .. } = look;
        self.does("look", json!({ "width": width, "height": height, "dark": dark })).map(drop)
    }

    /// Goes to a path; the status of the answer.
    ///
    /// # Errors
    /// As above.
    pub fn open(&mut self, path: &str) -> Result<u64> {
        let base = self.base.clone();
        self.visit(&format!("{base}{path}"))
    }

    /// Goes to an address, of whoever it is.
    ///
    /// # Errors
    /// As above.
    pub fn visit(&mut self, url: &str) -> Result<u64> {
        Ok(self.does("open", json!({ "url": url }))?.as_u64().unwrap_or_default())
    }

    /// Has one more look at a path, with the same cookies and in a window of its own, until it follows what happens; it stays.
    ///
    /// # Errors
    /// As above.
    pub fn another(&mut self, path: &str) -> Result<()> {
        let url = format!("{}{path}", self.base);
        self.does("another", json!({ "url": url })).map(drop)
    }

    /// The status of the page that is shown.
    ///
    /// # Errors
    /// As above.
    pub fn status(&mut self) -> Result<u64> {
        Ok(self.does("status", json!({}))?.as_u64().unwrap_or_default())
    }

    /// The path of the page that is shown, with its query.
    ///
    /// # Errors
    /// As above.
    pub fn path(&mut self) -> Result<String> {
        let address = text(&self.does("address", json!({}))?);
        Ok(address.strip_prefix(&self.base).map_or(address.clone(), str::to_owned))
    }

    /// The page as it stands, as HTML.
    ///
    /// # Errors
    /// As above.
    pub fn source(&mut self) -> Result<String> {
        Ok(text(&self.does("source", json!({}))?))
    }

    /// Clicks on the one thing that a selector of Playwright finds, once it can be clicked.
    ///
    /// # Errors
    /// As above.
    pub fn click(&mut self, at: &str) -> Result<()> {
        self.does("click", json!({ "at": at })).map(drop)
    }

    /// Writes into a field.
    ///
    /// # Errors
    /// As above.
    pub fn fill(&mut self, at: &str, text: &str) -> Result<()> {
        self.does("fill", json!({ "at": at, "text": text })).map(drop)
    }

    /// Chooses what a list offers.
    ///
    /// # Errors
    /// As above.
    pub fn choose(&mut self, at: &str, text: &str) -> Result<()> {
        self.does("choose", json!({ "at": at, "text": text })).map(drop)
    }

    /// Types, wherever the focus is.
    ///
    /// # Errors
    /// As above.
    pub fn types(&mut self, text: &str) -> Result<()> {
        self.does("type", json!({ "text": text })).map(drop)
    }

    /// Presses a key by its name.
    ///
    /// # Errors
    /// As above.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        self.does("press", json!({ "keys": keys })).map(drop)
    }

    /// Waits until something that a selector finds is seen with this text in it.
    ///
    /// # Errors
    /// As above.
    pub fn shows(&mut self, at: &str, text: &str) -> Result<()> {
        self.does("shows", json!({ "at": at, "text": text })).map(drop)
    }

    /// Waits until nothing like it is seen.
    ///
    /// # Errors
    /// As above.
    pub fn hides(&mut self, at: &str, text: &str) -> Result<()> {
        self.does("hides", json!({ "at": at, "text": text })).map(drop)
    }

    /// What is written in everything that a selector finds.
    ///
    /// # Errors
    /// As above.
    pub fn texts(&mut self, at: &str) -> Result<Vec<String>> {
        Ok(texts(&self.does("texts", json!({ "at": at }))?))
    }

    /// What an expression of JavaScript is in the page.
    ///
    /// # Errors
    /// As above.
    pub fn evaluate(&mut self, script: &str) -> Result<Value> {
        self.does("evaluate", json!({ "script": script }))
    }

    /// Waits until an expression is true.
    ///
    /// # Errors
    /// As above.
    pub fn becomes(&mut self, script: &str) -> Result<()> {
        self.does("becomes", json!({ "script": script })).map(drop)
    }

    /// The cookies that it keeps.
    ///
    /// # Errors
    /// As above.
    pub fn cookies(&mut self) -> Result<Vec<Value>> {
        Ok(self.does("cookies", json!({}))?.as_array().cloned().unwrap_or_default())
    }

    /// From now on says yes, or no, to what a page asks.
    ///
    /// # Errors
    /// As above.
    pub fn accepts(&mut self, accept: bool) -> Result<()> {
        self.does("accept", json!({ "accept": accept })).map(drop)
    }

    /// What the page has done since this was asked last.
    ///
    /// # Errors
    /// As above.
    pub fn heard(&mut self) -> Result<Heard> {
        let told = self.does("heard", json!({}))?;
        let [complaints, requests, dialogs] =
            ["complaints", "requests", "dialogs"].map(|what| texts(&told[what]));
        Ok(Heard { complaints, requests, dialogs })
    }

    /// What people who do not see, or see little, would stumble over, by all rules of axe or by one; to how many it keeps is the
    /// number.
    ///
    /// # Errors
    /// As above.
    pub fn barriers(&mut self, only: Option<&str>) -> Result<(u64, Vec<String>)> {
        let told = self.does("barriers", json!({ "only": only }))?;
        Ok((told["passed"].as_u64().unwrap_or_default(), texts(&told["told"])))
    }

    /// Goes round with the keyboard: how many stops there are, and what cannot be reached or does not show that it was.
    ///
    /// # Errors
    /// As above.
    pub fn stops(&mut self) -> Result<(u64, Vec<String>)> {
        let told = self.does("stops", json!({}))?;
        Ok((told["count"].as_u64().unwrap_or_default(), texts(&told["wrong"])))
    }

    /// What is wider than the window.
    ///
    /// # Errors
    /// As above.
    pub fn wide(&mut self) -> Result<Vec<String>> {
        Ok(texts(&self.does("wide", json!({}))?))
    }

    /// Keeps a picture of all of the page: `target/page/NAME.png`.
    ///
    /// # Errors
    /// As above.
    pub fn picture(&mut self, name: &str) -> Result<PathBuf> {
        let folder = binary::target().join("page");
        std::fs::create_dir_all(&folder).map_err(Trouble::doing(format!("make {}", folder.display())))?;
        let path = folder.join(format!("{name}.png"));
        self.does("picture", json!({ "path": path }))?;
        Ok(path)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The end of what it reads ends it, and its windows with it.
        drop(self.input.take());
        let has_ended = || self.child.try_wait().ok().flatten();
        if wait::until("the end of the browser", END, &[], has_ended).is_err() {
            let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// The folder below which the packages are.
fn modules() -> Result<PathBuf> {
    let list = binary::workspace().join("tests/fixtures/page/package.json");
    let npm = binary::find("npm")?;
    let wanted = Wanted { list: &list, copy: "package.json", part: "node_modules/playwright-core" };
    kept::folder(PACKAGES, wanted, |folder| {
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::copy(&list, folder.join("package.json")))
            .map_err(Trouble::doing(format!("write to {}", folder.display())))?;
        let mut install = Command::new(&npm);
        install.args(["install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]);
        process::succeed(install.current_dir(folder), INSTALLATION).map(drop)
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}
