//! A guest in a few lines: a core module in text that follows the canonical ABI of `hooks/wit/site-hook.wit`, all of its
//! answers laid out in its memory beforehand.
//!
//! Invariant: a guest says exactly what its bytes say. Nothing here is checked, so that everything can be wrong.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use biomero_tests::{Result, Trouble, binary, process, wait};

/// Where the answers begin; what is below is left to the guest's code.
pub(super) const BASE: u32 = 1024;
const PAGE: u32 = 64 << 10;

/// A guest that is no trouble until it is told to be.
#[derive(Debug, Clone)]
pub(super) struct Guest {
    name: Vec<u8>,
    version: Vec<u8>,
    needs: [Vec<(usize, Vec<u8>)>; 4],
    effects: Vec<Effect>,
    claimed: Option<u32>,
    answer_at: Option<u32>,
    complaint: Option<Vec<u8>>,
    fields: String,
    in_describe: String,
    in_plan: String,
    in_realloc: String,
    pages: u32,
}

/// What a guest can want to know.
#[derive(Debug, Clone, Copy)]
pub(super) enum Need {
    Setting,
    Variable,
    File,
    Address,
}

/// An effect as bytes.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    Directory {
        path: Vec<u8>,
        mode: u32,
    },
    File {
        path: Vec<u8>,
        content: Vec<u8>,
        mode: u32,
        lock: Option<Vec<u8>>,
    },
    Remove(Vec<u8>),
    MoveAside {
        path: Vec<u8>,
        to: Vec<u8>,
    },
    Variable {
        name: Vec<u8>,
        value: Option<Vec<u8>>,
    },
    WaitTcp(Vec<u8>),
    WaitPath(Vec<u8>),
    Command {
        argv: Vec<Vec<u8>>,
        as_service_user: bool,
    },
    Notice(Vec<u8>),
    /// A notice of this many bytes, wherever they are.
    NoticeOf(u32),
    /// A kind of effect that there is none of, and nothing else.
    Unknown,
}

/// A file with ordinary permission bits.
pub(super) fn file(path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Effect {
    let (path, content) = (path.as_ref().to_vec(), content.as_ref().to_vec());
    Effect::File { path, content, mode: 0o644, lock: None }
}

impl Guest {
    /// A hook that wants to know nothing and has nothing to do.
    pub(super) fn new() -> Self {
        Self {
            name: b"guest".to_vec(),
            version: b"1.0.0".to_vec(),
            needs: Default::default(),
            effects: Vec::new(),
            claimed: None,
            answer_at: None,
            complaint: None,
            fields: String::new(),
            in_describe: String::new(),
            in_plan: String::new(),
            in_realloc: String::new(),
            pages: 0,
        }
    }

    /// Under another name of its own, in another version.
    pub(super) fn called(mut self, name: impl AsRef<[u8]>, version: &str) -> Self {
        (self.name, self.version) = (name.as_ref().to_vec(), version.into());
        self
    }

    /// With one more wish.
    pub(super) fn needs(self, need: Need, what: impl AsRef<[u8]>) -> Self {
        self.needs_again(need, 1, what)
    }

    /// With the same wish many times.
    pub(super) fn needs_again(mut self, need: Need, times: usize, what: impl AsRef<[u8]>) -> Self {
        self.needs[need as usize].push((times, what.as_ref().to_vec()));
        self
    }

    /// With these effects after those it has.
    pub(super) fn plans(mut self, effects: impl IntoIterator<Item = Effect>) -> Self {
        self.effects.extend(effects);
        self
    }

    /// Says that its list of effects is this long, whatever it is.
    pub(super) const fn claims(mut self, effects: u32) -> Self {
        self.claimed = Some(effects);
        self
    }

    /// Gives this address for its effects' whole list, wherever that is.
    pub(super) const fn answers_at(mut self, address: u32) -> Self {
        self.answer_at = Some(address);
        self
    }

    /// Says that something makes no sense, in place of its effects.
    pub(super) fn complains(mut self, complaint: impl AsRef<[u8]>) -> Self {
        self.complaint = Some(complaint.as_ref().to_vec());
        self
    }

    /// With fields of the module: functions, tables, globals, memories.
    pub(super) fn with(mut self, fields: &str) -> Self {
        self.fields.push_str(fields);
        self
    }

    /// Runs this before it says what it is. `$i` is a local.
    pub(super) fn describes_after(mut self, code: &str) -> Self {
        self.in_describe.push_str(code);
        self
    }

    /// Runs this before it plans. `$i` is a local.
    pub(super) fn plans_after(mut self, code: &str) -> Self {
        self.in_plan.push_str(code);
        self
    }

    /// Runs this whenever it is asked for room.
    pub(super) fn allocates_after(mut self, code: &str) -> Self {
        self.in_realloc.push_str(code);
        self
    }

    /// With at least this many pages of 64 KiB of memory.
    pub(super) const fn pages(mut self, pages: u32) -> Self {
        self.pages = pages;
        self
    }

    /// Says a line of `length` bytes at `at` of its memory.
    pub(super) fn log(at: u32, length: u32) -> String {
        format!("(call $log (i32.const 1) (i32.const {at}) (i32.const {length}))")
    }

    /// The module in text.
    pub(super) fn wat(&self) -> String {
        let mut image = Image::default();
        let mut description = Vec::new();
        for text in [&self.name, &self.version, &b"does as it was told".to_vec()] {
            description.extend(image.text(text));
        }
        for list in &self.needs {
            let entries = list.iter().flat_map(|(times, text)| vec![image.text(text); *times]).collect();
            description.extend(image.entries(entries));
        }
        let description = image.place(&words(&description));
        let records: Vec<u8> = self.effects.iter().flat_map(|effect| effect.record(&mut image)).collect();
        let count = self.claimed.unwrap_or(length(&self.effects));
        let effects = image.place(&records);
        let planned = match &self.complaint {
            None => image.place(&words(&[0, effects, count, 0, 0, 0, 0, 0])),
            Some(text) => {
                // The third kind of error has a place, a problem and a remedy.
                let texts: Vec<u32> = [text; 3].iter().flat_map(|text| image.text(text)).collect();
                image.place(&words(&[vec![1, 2], texts].concat()))
            }
        };
        let planned = self.answer_at.unwrap_or(planned);
        let heap = (BASE + length(&image.0)).next_multiple_of(8);
        let pages = self.pages.max(heap / PAGE + 1);
        let Self { fields, in_describe, in_plan, in_realloc, .. } = self;
        let parameters = "i32 ".repeat(16);
        format!(
            r#"(module
              (import "biomero:hooks/log@1.0.0" "log" (func $log (param i32 i32 i32)))
              (memory (export "memory") {pages})
              (global $next (mut i32) (i32.const {heap}))
              (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
                (local $at i32) (local $i i32)
                {in_realloc}
                (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                (global.set $next (i32.add (local.get $at) (local.get $size)))
                (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const {PAGE})))
                  (then (drop (memory.grow
                    (i32.add (i32.div_u (local.get $size) (i32.const {PAGE})) (i32.const 1))))))
                (local.get $at))
              {fields}
              (func (export "biomero:hooks/hook@1.0.0#describe") (result i32) (local $i i32)
                {in_describe} (i32.const {description}))
              (func (export "biomero:hooks/hook@1.0.0#plan") (param {parameters}) (result i32) (local $i i32)
                {in_plan} (i32.const {planned}))
              (data (i32.const {BASE}) "{}"))"#,
            image.escaped()
        )
    }

    /// The component, as `init-hooks componentize` makes it; in `folder` is room for files.
    pub(super) fn component(&self, folder: &Path) -> Result<Vec<u8>> {
        componentize(&self.wat(), folder, None)
    }
}

/// Makes a component of a module in text, for the world in the folder `wit` or that of `init` itself.
pub(super) fn componentize(wat: &str, folder: &Path, wit: Option<&Path>) -> Result<Vec<u8>> {
    let (module, component) = (folder.join("module.wasm"), folder.join("component.wasm"));
    std::fs::write(&module, assemble(wat)?).map_err(Trouble::doing("write a module"))?;
    let mut command = Command::new(binary::compiler()?);
    command.arg("componentize").arg(&module).arg("--output").arg(&component);
    if let Some(wit) = wit {
        command.arg("--wit").arg(wit);
    }
    process::succeed(&mut command, wait::PATIENCE)?;
    std::fs::read(&component).map_err(Trouble::doing("read a component"))
}

/// A module or component in text as bytes.
pub(super) fn assemble(wat: &str) -> Result<Vec<u8>> {
    wat::parse_str(wat).map_err(|error| Trouble::new(format!("a guest's text: {error}")))
}

/// A guest's memory from [`BASE`] on.
#[derive(Debug, Default)]
struct Image(Vec<u8>);

impl Image {
    /// Puts bytes at a multiple of 8 and tells where.
    fn place(&mut self, bytes: &[u8]) -> u32 {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        let at = BASE + length(&self.0);
        self.0.extend_from_slice(bytes);
        at
    }

    fn text(&mut self, text: &[u8]) -> [u32; 2] {
        [self.place(text), length(text)]
    }

    fn list(&mut self, texts: &[Vec<u8>]) -> [u32; 2] {
        let entries = texts.iter().map(|text| self.text(text)).collect();
        self.entries(entries)
    }

    fn entries(&mut self, entries: Vec<[u32; 2]>) -> [u32; 2] {
        [self.place(&words(&entries.concat())), length(&entries)]
    }

    fn escaped(&self) -> String {
        let mut text = String::with_capacity(3 * self.0.len());
        for byte in &self.0 {
            let _ = write!(text, "\\{byte:02x}");
        }
        text
    }
}

impl Effect {
    /// The record of 64 bytes: the kind, and from byte 8 on what belongs to it.
    fn record(&self, image: &mut Image) -> [u8; 64] {
        const NEVER: u32 = 0;
        const SECOND: u32 = 1000;
        let (kind, fields): (u8, Vec<u32>) = match self {
            Self::Directory { path, mode } => {
                let [at, length] = image.text(path);
                (0, vec![at, length, *mode])
            }
            Self::File { path, content, mode, lock } => {
                let [path, content] = [path, content].map(|text| image.text(text));
                let mut fields = vec![path[0], path[1], content[0], content[1], 0, *mode, 0];
                if let Some(lock) = lock {
                    let [at, length] = image.text(lock);
                    fields.extend([1, at, length, 0]);
                }
                (1, fields)
            }
            Self::Remove(path) => (2, image.text(path).to_vec()),
            Self::MoveAside { path, to } => {
                (3, [path, to, &b"a reason".to_vec()].iter().flat_map(|text| image.text(text)).collect())
            }
            Self::Variable { name, value } => {
                let mut fields = image.text(name).to_vec();
                if let Some(value) = value {
                    let [at, length] = image.text(value);
                    fields.extend([1, at, length]);
                }
                (4, fields)
            }
            Self::WaitTcp(address) => {
                let [at, length] = image.text(address);
                (5, vec![at, length, SECOND, NEVER])
            }
            Self::WaitPath(path) => {
                let [at, length] = image.text(path);
                (6, vec![at, length, SECOND, NEVER])
            }
            Self::Command { argv, as_service_user } => {
                let ([argv, count], [says, length]) = (image.list(argv), image.text(b"as it says"));
                let as_service_user = u32::from(*as_service_user);
                (7, vec![argv, count, 0, 0, 0, 0, 0, as_service_user, SECOND, NEVER, says, length])
            }
            Self::Notice(text) => (8, image.text(text).to_vec()),
            Self::NoticeOf(length) => (8, vec![0, *length]),
            Self::Unknown => (99, Vec::new()),
        };
        let mut record = [0; 64];
        record[0] = kind;
        for (place, byte) in record[8..].iter_mut().zip(words(&fields)) {
            *place = byte;
        }
        record
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn length<T>(slice: &[T]) -> u32 {
    u32::try_from(slice.len()).expect("a guest of these tests is smaller than 4 GiB")
}
