//! `docs/site-hooks.md` says what is so: its commands are those of a new project, its keys are those that `init` knows,
//! and each message it quotes is what `init` says when that happens.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use biomero_tests::scratch::Scratch;
use biomero_tests::site_hook::{BANNER, kept_banner};
use biomero_tests::worker_root::{self, Deployment, INIT};
use biomero_tests::{Result, Trouble, binary, process, wait};

fn guide() -> Result<String> {
    let path = binary::workspace().join("docs/site-hooks.md");
    fs::read_to_string(path).map_err(Trouble::doing("read the guide"))
}

/// A worker's root folder with the example hook in C, as it was built once, and what its processes get.
struct Worker {
    _scratch: Scratch,
    root: PathBuf,
    environment: Vec<(String, String)>,
}

impl Worker {
    fn new() -> Result<Self> {
        let scratch = Scratch::new()?;
        let root = scratch.folder("root")?;
        let mut deployment = Deployment::internal(4061);
        deployment.master = "127.0.0.1".to_owned();
        deployment.variables.push(("BIOMERO_SITE".to_owned(), "Example University".to_owned()));
        worker_root::lay_out(&root, &deployment)?;
        BANNER.install(&kept_banner(), &root)?;
        Ok(Self { _scratch: scratch, root, environment: deployment.environment() })
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn hook(&self, name: &str) -> PathBuf {
        self.at("etc/biomero/hooks.d").join(name)
    }

    fn read(&self) -> Result<String> {
        fs::read_to_string(self.hook(BANNER.file)).map_err(Trouble::doing("read the TOML file"))
    }

    /// Writes the TOML file anew: the lines that `keep` keeps, between `first` and `last`.
    fn rewrite(&self, keep: impl Fn(&str) -> bool, first: &str, last: &str) -> Result<()> {
        let kept: String = self.read()?.split_inclusive('\n').filter(|line| keep(line)).collect();
        fs::write(self.hook(BANNER.file), format!("{first}{kept}{last}"))
            .map_err(Trouble::doing("write the TOML file"))
    }

    /// Puts another file in the component's place, which no digest pins.
    fn component(&self, content: &[u8]) -> Result<()> {
        self.rewrite(|line| !line.starts_with("sha256"), "allow_unpinned = true\n", "")?;
        fs::write(self.hook(BANNER.component), content).map_err(Trouble::doing("write a component"))
    }

    /// Compiles into the cache, as an image's build does.
    fn compile(&self) -> Result<PathBuf> {
        let cache = self.at("var/cache/biomero/hooks");
        let mut compile = Command::new(binary::compiler()?);
        compile.args(["compile", "--cache"]).arg(&cache).arg(self.hook(BANNER.component));
        process::succeed(&mut compile, wait::PATIENCE)?;
        Ok(cache)
    }

    fn init(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let mut init = Command::new(self.at(INIT));
        init.env_clear().envs(self.environment.iter().cloned());
        let output = process::output(init.arg("--root").arg(&self.root).args(arguments), wait::PATIENCE)?;
        Ok((output.status.code(), process::both(&output)))
    }
}

/// The beginning of what the guide quotes, and how that comes about.
type Situation = (&'static str, fn(&mut Worker) -> Result<()>);

const SITUATIONS: &[Situation] = &[
    ("no TOML file names this component", |worker| {
        fs::remove_file(worker.hook(BANNER.file)).map_err(Trouble::doing("remove the TOML file"))
    }),
    ("is not pinned", |worker| worker.rewrite(|line| !line.starts_with("sha256"), "", "")),
    ("it is not the file that was checked", |worker| {
        fs::write(worker.hook(BANNER.component), "other").map_err(Trouble::doing("change the component"))
    }),
    ("unknown key", |worker| worker.rewrite(|_| true, "sumary = \"x\"\n", "")),
    ("is too wide", |worker| worker.rewrite(|line| !line.starts_with("write"), "", "write = [\"/etc/\"]\n")),
    ("asks for what its [grants] do not hold", |worker| {
        worker.rewrite(|line| !line.starts_with("settings"), "", "")
    }),
    ("asked for what its [grants] do not hold", |worker| {
        worker.rewrite(|line| !line.starts_with("write"), "", "")
    }),
    ("is not set:", |worker| {
        worker.environment.retain(|(name, _)| name != "BIOMERO_SITE");
        Ok(())
    }),
    ("it used up", |worker| worker.rewrite(|_| true, "", "\n[limits]\nfuel = 100\n")),
    ("it exports no biomero:hooks/hook", |worker| worker.component(b"\0asm\x0d\0\x01\0")),
    ("this is a core module", |worker| worker.component(b"\0asm\x01\0\0\0")),
    ("it could not be compiled", |worker| worker.component(b"int main(void);\n")),
    ("the compiler", |worker| {
        let nowhere = ("BIOMERO_INIT_HOOKS__COMPILER".to_owned(), "/nowhere/init-hooks".to_owned());
        worker.environment.push(nowhere);
        fs::remove_file(worker.at(INIT).with_file_name("init-hooks"))
            .map_err(Trouble::doing("remove the compiler"))
    }),
    ("so that what is in it could be anybody's", |worker| {
        fs::set_permissions(worker.compile()?, fs::Permissions::from_mode(0o777))
            .map_err(Trouble::doing("open the cache"))
    }),
    ("was changed or damaged and is not loaded", |worker| {
        for entry in fs::read_dir(worker.compile()?).map_err(Trouble::doing("list the cache"))?.flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "cwasm") {
                fs::write(entry.path(), "evil").map_err(Trouble::doing("forge machine code"))?;
            }
        }
        Ok(())
    }),
];

/// What takes a hostile component: shown by the tests of those.
const HOSTILE: [&str; 4] =
    ["it did not end within", "it trapped", "limits.memory_mib raises that", "it imports wasi:"];

#[test]
fn each_message_that_the_guide_quotes_is_what_init_says() -> Result<()> {
    let guide = guide()?;
    let table = guide.split("\n## ").find_map(|section| section.strip_prefix("When it goes wrong\n"));
    let rows: Vec<Vec<&str>> = table
        .into_iter()
        .flat_map(str::lines)
        .filter(|line| line.starts_with("| `") && !line.starts_with("| `init` says"))
        .map(|line| line.split(" | ").next().unwrap_or_default().split('`').skip(1).step_by(2).collect())
        .collect();
    for (quoted, _) in SITUATIONS {
        assert!(rows.iter().any(|row| row[0] == *quoted), "the guide lacks {quoted:?}");
    }
    for row in rows {
        let Some((_, happens)) = SITUATIONS.iter().find(|(quoted, _)| *quoted == row[0]) else {
            assert!(HOSTILE.contains(&row[0]), "no test shows {row:?}");
            continue;
        };
        let mut worker = Worker::new()?;
        happens(&mut worker)?;
        let (code, said) = worker.init(&["--dry-run"])?;
        assert_eq!(code, Some(1), "{row:?}: {said}");
        for quoted in &row {
            assert!(said.contains(quoted), "{quoted:?} is not in\n{said}");
        }
    }
    Ok(())
}

#[test]
fn the_guide_explains_every_key_that_init_knows() -> Result<()> {
    let (guide, worker) = (guide()?, Worker::new()?);
    for table in ["", "[grants]\n", "[limits]\n"] {
        let text = format!("{table}qqqqqq = 1\n");
        fs::write(worker.hook(BANNER.file), text).map_err(Trouble::doing("write a TOML file"))?;
        let (_, said) = worker.init(&["hooks"])?;
        let known = said.split_once("expected one of ").map(|(_, known)| known).unwrap_or_default();
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        assert!(known.len() > 2, "{said}");
        for key in known {
            assert!(guide.contains(&format!("`{key}`")), "the guide lacks {key} of {table:?}");
        }
    }
    Ok(())
}

#[test]
fn the_toml_file_in_the_guide_is_one_that_init_takes() -> Result<()> {
    let (guide, worker) = (guide()?, Worker::new()?);
    let example = guide.split_once("```toml\n").and_then(|(_, after)| after.split_once("```"));
    let (example, _) = example.ok_or_else(|| Trouble::new("the guide has no example"))?;
    fs::write(worker.hook("95-site-motd.toml"), example).map_err(Trouble::doing("write the example"))?;
    let component = worker.hook("site-motd.wasm");
    fs::copy(kept_banner(), &component).map_err(Trouble::doing("copy a component"))?;
    let mut pin = Command::new(worker.at(INIT));
    process::succeed(pin.args(["hooks", "pin"]).arg(&component), wait::PATIENCE)?;
    let (code, said) = worker.init(&["hooks"])?;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("site-motd ") && said.contains("greets who logs in"), "{said}");
    Ok(())
}

#[test]
fn the_commands_of_the_guide_are_those_of_a_new_project() -> Result<()> {
    let (guide, scratch) = (guide()?, Scratch::new()?);
    for language in ["rust", "c", "python"] {
        let folder = scratch.path().join(language);
        let mut new = Command::new(binary::init()?);
        new.args(["hooks", "new", "site-motd", "--lang", language, "--directory"]).arg(&folder);
        process::succeed(&mut new, wait::PATIENCE)?;
        let readme = fs::read_to_string(folder.join("README.md")).map_err(Trouble::doing("read a README"))?;
        let mut blocks = 0;
        for section in readme.split("\n## ").skip(1) {
            let block = section.rsplit_once("```sh\n").and_then(|(_, after)| after.split_once("```"));
            let (block, _) = block.ok_or_else(|| Trouble::new(format!("no commands in {section}")))?;
            assert!(guide.contains(&format!("```sh\n{block}```")), "the guide lacks\n{block}");
            blocks += 1;
        }
        assert_eq!(blocks, 4, "build, test, pin, install");
    }
    Ok(())
}
