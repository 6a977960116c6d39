use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::{OnFailure, WorkerMode, table};

/// A root with these files below it.
fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a temporary folder");
    for (path, content) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("the folders");
        std::fs::write(path, content).expect("the file");
    }
    root
}

fn load_with(
    root: &Path,
    environment: &[(&str, &str)],
    command_line: &[(&str, &str)],
) -> Result<Loaded, LoadError> {
    load(&Sources {
        root: root.to_owned(),
        environment: environment.iter().copied().collect(),
        command_line: command_line
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
    })
}

/// The problems of a load, with the temporary root left out.
fn problems(files: &[(&str, &str)], environment: &[(&str, &str)], command_line: &[(&str, &str)]) -> String {
    let root = root(files);
    match load_with(root.path(), environment, command_line) {
        Ok(_) => "no problem".to_owned(),
        Err(error) => error.to_string().replace(&*root.path().to_string_lossy(), ""),
    }
}

/// One main file.
fn problems_of(main: &str) -> String {
    problems(&[("etc/biomero/init.toml", main)], &[], &[])
}

#[test]
fn the_shipped_defaults_load_and_equal_what_shipped_gives() {
    let root = root(&[]);
    let loaded = load_with(root.path(), &[], &[]).expect("the defaults are valid");
    assert_eq!(loaded.settings, Settings::shipped());
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert!(loaded.origins.values().all(|origin| *origin == Origin::Default));
}

#[test]
fn later_layers_win_key_by_key() {
    let root = root(&[
        ("etc/biomero/init.toml", "[worker]\nname = 'main'\nport = 1\n[log]\nlevel = 'warn'"),
        ("etc/biomero/init.d/20-b.toml", "worker.name = 'b'"),
        ("etc/biomero/init.d/10-a.toml", "worker.name = 'a'\nworker.port = 2"),
        ("etc/biomero/init.d/.hidden.toml", "broken"),
        ("etc/biomero/init.d/30-c.toml~", "broken"),
    ]);
    let loaded = load_with(root.path(), &[], &[]).expect("valid");
    assert_eq!((loaded.settings.worker.name.as_str(), loaded.settings.worker.port), ("b", Some(2)));
    let line = |file: &str, line| Origin::File { path: root.path().join("etc/biomero").join(file), line };
    assert_eq!(loaded.origins["worker.name"], line("init.d/20-b.toml", 1));
    assert_eq!(loaded.origins["worker.port"], line("init.d/10-a.toml", 2));
    assert_eq!(loaded.origins["log.level"], line("init.toml", 5));
    assert_eq!(loaded.files.len(), 3);

    let environment = [("OMERO_WORKER_NAME", "variable"), ("BIOMERO_INIT_WORKER__PORT", "3")];
    let loaded = load_with(root.path(), &environment, &[("worker.name", "line")]).expect("valid");
    assert_eq!((loaded.settings.worker.name.as_str(), loaded.settings.worker.port), ("line", Some(3)));
    assert_eq!(loaded.origins["worker.name"], Origin::CommandLine);
    assert_eq!(loaded.origins["worker.port"], Origin::Variable("BIOMERO_INIT_WORKER__PORT".to_owned()));
}

#[test]
fn the_environment_of_an_external_deployment_is_understood() {
    let root = root(&[]);
    let environment = [
        ("CONFIG_omero_master_host", "omero.example.org"),
        ("CONFIG_omero_master_port", "4064"),
        ("CONFIG_omero_ports_registry", "14061"),
        ("CONFIG_omero_logging_level", "20"),
        ("CONFIG_omero_web_public__enabled", ""),
        ("OMERO_WORKER_NAME", "biomero-external"),
        ("OMERODIR", "/opt/omero"),
        ("VIRTUAL_ENV", "/venv"),
        ("BIOMERO_SLURM_CONFIG_FILE", "/OMERO/one.ini"),
        ("OMERO_TEMPDIR", "/tmp/old"),
        ("OMERO_TMPDIR", "/tmp/new"),
        ("OMERO_USERDIR", "/tmp/user"),
        ("BIOMERO_INIT_HOOKS__SSH_KEYS__RETRIES", "2"),
        ("BIOMERO_INIT_HOOKS__DEFAULT__DEADLINE", "3m"),
        ("BIOMERO_INIT_SERVICES__NODE__ENVIRONMENT__Mixed_Case", "x"),
        ("BIOMERO_INIT_WAIT__TCP", r#"["db:5432", "[::1]:22"]"#),
        ("BIOMERO_INIT_LOG__LEVEL", ""),
        ("PATH", "/bin"),
    ];
    let loaded = load_with(root.path(), &environment, &[]).expect("valid");
    let settings = &loaded.settings;
    assert_eq!(settings.master.host.as_deref(), Some("omero.example.org"));
    assert_eq!((settings.master.port, settings.omero.ports.registry), (Some(4064), 14061));
    assert_eq!(settings.worker_mode(), WorkerMode::External);
    assert_eq!(settings.omero.directory, Path::new("/opt/omero"));
    assert_eq!(settings.temporary.directory, Path::new("/tmp/new"));
    assert_eq!(settings.slurm_config.authoritative.as_deref(), Some(Path::new("/OMERO/one.ini")));
    assert_eq!(settings.hooks.per_hook["ssh-keys"].retries, Some(2));
    assert_eq!(settings.hooks.default.deadline, Duration::from_secs(180));
    assert_eq!(settings.services["node"].environment["Mixed_Case"].reveal(), "x");
    assert_eq!(settings.wait.tcp, ["db:5432", "[::1]:22"]);
    let properties: Vec<_> = settings
        .properties
        .iter()
        .map(|(name, property)| (name.as_str(), property.reveal().as_str()))
        .collect();
    assert_eq!(
        properties,
        [
            ("omero.logging.level", "20"),
            ("omero.master.host", "omero.example.org"),
            ("omero.master.port", "4064"),
            ("omero.ports.registry", "14061"),
            ("omero.web.public_enabled", ""),
        ]
    );
    assert_eq!(
        loaded.warnings,
        ["the variable OMERO_TEMPDIR is ignored because OMERO_TMPDIR is set; remove it"]
    );
}

#[test]
fn a_service_a_file_names_in_capitals_is_the_one_a_variable_means() {
    let root = root(&[("etc/biomero/init.toml", "[services.My_Poller]\ncommand = ['true']")]);
    let loaded =
        load_with(root.path(), &[("BIOMERO_INIT_SERVICES__MY_POLLER__MAIN", "false")], &[]).expect("valid");
    assert_eq!(
        loaded.settings.services.keys().collect::<Vec<_>>(),
        ["My_Poller", "node", "processor", "workflows"]
    );
}

#[test]
fn a_hook_keeps_what_its_section_does_not_say() {
    let root = root(&[("etc/biomero/init.toml", "[hooks.exec-20]\non_failure = 'warn'\nenabled = false")]);
    let settings = load_with(root.path(), &[], &[]).expect("valid").settings;
    let mut policy = settings.hooks.default.clone();
    settings.hooks.per_hook["exec-20"].apply_to(&mut policy);
    assert_eq!((policy.on_failure, policy.deadline), (OnFailure::Warn, settings.hooks.default.deadline));
    assert_eq!(settings.hooks.per_hook["exec-20"].enabled, Some(false));
}

#[test]
fn properties_are_taken_quoted_and_unquoted() {
    let root = root(&[(
        "etc/biomero/init.toml",
        "[properties]\n\"omero.db.host\" = 'db'\nomero.scripts.timeout = 3600\n[properties.omero.web]\ndebug = true\nports.ssl = 1",
    )]);
    let loaded = load_with(
        root.path(),
        &[],
        &[("properties.omero.db.name", "x"), ("properties.\"omero.db.user\"", "y")],
    );
    let settings = loaded.expect("valid").settings;
    let properties: Vec<_> = settings
        .properties
        .iter()
        .map(|(name, property)| (name.as_str(), property.reveal().as_str()))
        .collect();
    assert_eq!(
        properties,
        [
            ("omero.db.host", "db"),
            ("omero.db.name", "x"),
            ("omero.db.user", "y"),
            ("omero.scripts.timeout", "3600"),
            ("omero.web.debug", "true"),
            ("omero.web.ports.ssl", "1"),
        ]
    );
}

#[test]
fn all_problems_of_all_layers_come_at_once() {
    let found = problems(
        &[
            (
                "etc/biomero/init.toml",
                "wrker = 1\n[worker]\nprot = 4063\nname = 'a b'\nmode = 'externel'\n[master]\nbind = '10.0.0.1'\n\n[wait]\ndeadline = 5\ntcp = ['db']\nworker = 'x'\n[[log]]\nlevel = 'info'\n[hooks]\ndefault = 3\n[services.a.b]\nc = 1\n",
            ),
            ("etc/biomero/init.d/a.toml", "[worker\nname = 'x'"),
            ("etc/biomero/init.d/b.toml", "[state]\nsocket = 'run/x'\nsocket = '/run/x'"),
            ("etc/biomero/init.d/c.toml", "[properties]\nx = 1.5\n'a b' = 'c'\n'q.r' = 'd'\nq.r = 'e'\n"),
        ],
        &[
            ("BIOMERO_INIT_WORKER__PROT", "1"),
            ("BIOMERO_INIT_WORKER__PORT", "0"),
            ("BIOMERO_INIT_PROPERTIES__X", "1"),
            ("BIOMERO_INIT_WAIT__PATHS", "/a"),
            ("CONFIG_omero_db:pass", "geheim"),
            ("CONFIG_omero_ports_tcp", "http"),
        ],
        &[("services.node.stop.dedline", "1s"), ("worker", "x"), ("a..b", "x"), ("log.level", "noisy")],
    );
    insta::assert_snapshot!(found);
    assert!(!found.contains("geheim"));
}

#[test]
fn what_init_starts_reads_the_file_that_it_rendered() {
    let root = tempfile::tempdir().expect("a folder");
    let rendered = "/run/biomero/slurm-config.ini";
    let loaded = load_with(root.path(), &[("BIOMERO_SLURM_CONFIG_FILE", rendered)], &[]).expect("valid");
    let slurm = &loaded.settings.slurm_config;
    assert_eq!(
        (slurm.authoritative.as_deref(), &*slurm.rendered),
        (Some(Path::new(rendered)), Path::new(rendered))
    );
}

#[test]
fn each_unreachable_combination_is_one_problem() {
    let cases = [
        "[services.a]",
        "[services.a]\ncommand = []",
        "[services.a]\ncommand = ['']",
        "[services.a]\nlauncher = 'omero-node'",
        "[services.node]\ncommand = ['x']\nlauncher = 'omero-node'",
        "[services.a]\ncommand = ['x']\ndepends_on = ['nodes']",
        "[services.a]\ncommand = ['x']\ndepends_on = ['b']\n[services.b]\ncommand = ['x']\nenabled = false",
        "[services.a]\ncommand = ['x']\ndepends_on = ['a']",
        "[services.a]\ncommand = ['x']\ndepends_on = ['b']\n[services.b]\ncommand = ['x']\ndepends_on = ['c', 'node']\n[services.c]\ncommand = ['x']\ndepends_on = ['b']",
        "[services.a]\ncommand = ['x']\nmain = true",
        "[services.a]\ncommand = ['x']\n[services.a.ready]\ndeadline = '5s'",
        "[services.a]\ncommand = ['x']\n[services.a.ready]\ntcp = 'a:1'\nnotify = true",
        "[services.a]\ncommand = ['x']\nready.exec = []",
        "[services.a]\ncommand = ['x']\nready = { notify = true, interval = '2m' }",
        "[services.a]\ncommand = ['x']\nstop.signal = 'TREM'",
        "[services.a]\ncommand = ['x']\nrestart.delay = '1m'",
        "[services.'a b']\ncommand = ['x']",
        "[worker]\nbind = '0.0.0.0'",
        "[worker]\nmode = 'internal'\nbind = '0.0.0.0'",
        "[worker]\nport = 0",
        "[worker]\nname = '../x'",
        "[worker]\naddress = 'a b'",
        "[omero.ports]\nssl = 70000",
        "[slurm_config]\nrendered = '/OMERO/slurm-config.ini'",
        "[ssh]\nsource = '/a'\ntarget = '/a'",
        "[temporary]\ndirectory = '/'",
        "[temporary]\ndirectory = '/tmp/../etc'",
    ];
    let mut found = String::new();
    for case in cases {
        found.push_str(&format!("{}\n", problems_of(case)));
    }
    found.push_str(&problems_of(&format!("[state]\nsocket = '/{}'", "x".repeat(107))));
    assert_eq!(found.lines().count(), cases.len() + 1, "{found}");
    insta::assert_snapshot!(found);
}

#[test]
fn a_service_with_a_misspelt_key_has_that_problem_only() {
    assert_eq!(
        problems_of("[services.a]\ncomand = ['x']"),
        "/etc/biomero/init.toml:2: services.a.comand: unknown key; did you mean \"command\"?"
    );
}

#[test]
fn shipped_defaults_give_way_to_what_a_site_says_instead() {
    let main = "[services.node]\ncommand = ['x']\n[startup.replaced]\n'99-run.sh' = ''";
    let root = root(&[("etc/biomero/init.toml", main)]);
    let loaded = load_with(root.path(), &[], &[]).expect("valid");
    assert_eq!(loaded.settings.services["node"].launcher, None);
    assert!(!loaded.settings.startup.replaced.contains_key("99-run.sh"));
    assert!(loaded.settings.startup.replaced.contains_key("50-config.py"));
    assert!(!loaded.describe().iter().any(|row| row.key == "services.node.launcher"));
}

#[test]
fn a_disabled_service_needs_nothing_else() {
    assert_eq!(
        problems_of("[services.node]\nenabled = false\nlauncher = 'icegridnode'\ncommand = ['x']"),
        "no problem"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let link = root(&[]);
    std::fs::create_dir_all(link.path().join("etc/biomero/init.d/folder.toml")).expect("folders");
    std::os::unix::fs::symlink("/nowhere", link.path().join("etc/biomero/init.d/gone.toml")).expect("a link");
    std::fs::write(link.path().join("etc/biomero/init.d/large.toml"), vec![b'#'; (1 << 20) + 1])
        .expect("a file");
    std::fs::write(link.path().join("etc/biomero/init.d/latin.toml"), b"# a\n# b\n# \xe9\n").expect("a file");
    let environment = [("BIOMERO_INIT_CONFIG", "/etc/other.toml")];
    let error = load_with(link.path(), &environment, &[]).expect_err("five problems");
    insta::assert_snapshot!(error.to_string().replace(&*link.path().to_string_lossy(), ""));
    let error =
        load_with(link.path(), &[("BIOMERO_INIT_CONFIG", "etc/other.toml")], &[]).expect_err("relative");
    assert_eq!(error.problems[0], "variable BIOMERO_INIT_CONFIG: \"etc/other.toml\" is not an absolute path");
}

#[test]
fn another_main_file_stands_for_the_usual_one() {
    let root = root(&[("etc/biomero/init.toml", "worker.name = 'a'"), ("srv/x.toml", "log.level = 'debug'")]);
    let loaded = load_with(root.path(), &[("BIOMERO_INIT_CONFIG", "/srv/x.toml")], &[]).expect("valid");
    assert_eq!(
        (loaded.settings.worker.name.as_str(), loaded.settings.log.level),
        ("biomeroworker", crate::LogLevel::Debug)
    );
}

#[test]
fn a_description_masks_secrets_and_names_origins() {
    let root = root(&[(
        "etc/biomero/init.toml",
        "[properties]\n'omero.db.pass' = 'hunter2'\n[services.api]\ncommand = ['api', '--db', 'postgresql://u:hunter2@db/x']\nready.notify = true\n[services.api.environment]\nAPI_TOKEN = 'hunter2'\nMODE = \"a\\nb\"",
    )]);
    let loaded = load_with(root.path(), &[("CONFIG_omero_master_host", "m")], &[]).expect("valid");
    let rows: Vec<_> = loaded
        .describe()
        .iter()
        .filter(|row| ["services.api", "properties", "master"].iter().any(|start| row.key.starts_with(start)))
        .cloned()
        .collect();
    let shown = table(&rows).replace(&*root.path().to_string_lossy(), "");
    insta::assert_snapshot!(shown);
    assert!(!shown.contains("hunter2"));
}

#[test]
fn two_variables_for_one_property_are_reported() {
    let root = root(&[]);
    let loaded =
        load_with(root.path(), &[("CONFIG_a_b_c", "1"), ("CONFIG_a_b__c", "2")], &[]).expect("valid");
    insta::assert_debug_snapshot!(loaded.warnings);
}

#[test]
fn variables_that_are_passed_through_are_checked_and_shown_without_passwords() {
    let root = root(&[]);
    let environment = [
        ("SQLALCHEMY_URL", "postgres://u:hunter2@db/x"),
        ("PERSISTENCE_MODULE", "eventsourcing.popo"),
        ("HTTP_PROXY", "http://u:hunter2@proxy:none"),
        ("http_proxy", "http://proxy:3128"),
        ("https_proxy", "proxy:3128"),
        ("NO_PROXY", "http://localhost"),
    ];
    let loaded = load_with(root.path(), &environment, &[]).expect("warnings only");
    insta::assert_snapshot!(loaded.warnings.join("\n"));
    let rows = crate::variables_passed_through(&environment.into_iter().collect());
    let shown = table(&rows);
    assert!(!shown.contains("hunter2") && shown.contains("postgres://u:********@db/x"), "{shown}");
    for valid in [
        "postgresql+psycopg2://u:p%40@db:5432/x",
        "postgresql://u:p@x@db/x?sslmode=require",
        "postgresql://[::1]:5432/x",
        "postgresql:///x",
        "sqlite:////tmp/x.db",
    ] {
        assert_eq!(
            load_with(root.path(), &[("SQLALCHEMY_URL", valid)], &[]).expect("valid").warnings,
            [""; 0],
            "{valid}"
        );
    }
}

#[test]
fn hostile_nesting_is_refused_and_not_followed() {
    for content in [
        format!("[properties]\n{}x = 1", "a.".repeat(200_000)),
        format!("[properties.{}x]\ny = 1", "a.".repeat(200_000)),
        format!("wait.tcp = {}", "[".repeat(500_000)),
        format!("wait.tcp = {}{}", "[".repeat(400_000), "]".repeat(400_000)),
        format!("properties = {}", "{a=".repeat(300_000)),
        format!("[properties]\n{}", (0..10_000).map(|at| format!("a{at}.b=''\n")).collect::<String>()),
        "x=1\n".repeat(200_000),
        (0..40_000).map(|at| format!("unknown_key_{at} = 1\n")).collect(),
        format!("{} = 1", "k".repeat(1_000_000)),
        format!("worker.mode = '{}'", "k".repeat(1_000_000)),
        format!("worker.name = '{}'", "k".repeat(1_000_000)),
        format!("services.{}.command = 1", "k".repeat(1_000_000)),
    ] {
        let start = Instant::now();
        let found = problems_of(&content);
        assert!(found.len() < 20_000, "{} bytes of problems", found.len());
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}: {:.60}", start.elapsed(), content);
    }
}

#[test]
fn a_load_is_quick() {
    let root = root(&[("etc/biomero/init.toml", "[worker]\nname = 'x'\n")]);
    let best = (0..20)
        .map(|_| {
            let start = Instant::now();
            load_with(root.path(), &[("CONFIG_omero_master_host", "m")], &[]).expect("valid");
            start.elapsed()
        })
        .min()
        .expect("twenty runs");
    // Without optimisation on a loaded machine; a release build takes about a tenth of a millisecond.
    assert!(best < Duration::from_millis(40), "{best:?}");
}

proptest::proptest! {
    #[test]
    fn no_file_makes_the_load_panic(content in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        let root = root(&[]);
        std::fs::create_dir_all(root.path().join("etc/biomero")).expect("folders");
        std::fs::write(root.path().join("etc/biomero/init.toml"), content).expect("a file");
        let _ = load_with(root.path(), &[], &[]);
    }

    #[test]
    fn no_toml_makes_the_load_panic(
        lines in proptest::collection::vec(
            "(\\[{1,2}(worker|properties|hooks|services|x)(\\.[a-z\"]{1,6}){0,3}\\]{1,2})|((port|command|ready|name|a\\.b|\"é\")(\\.x)? = (1|'x'|\\[1\\]|\\{a=1\\}|1979-05-27|inf|\\[\\]|\"\\\\u0000\"))",
            0..12,
        )
    ) {
        let _ = problems_of(&lines.join("\n"));
    }

    #[test]
    fn no_variable_or_option_makes_the_load_panic(name in "(CONFIG_|BIOMERO_INIT_)[A-Za-z_.é]{0,20}", value in "\\PC{0,20}", key in "\\PC{0,12}") {
        let _ = problems(&[], &[(&name, &value)], &[(&key, &value)]);
    }
}

#[test]
fn a_symlink_below_a_root_is_followed_below_it() {
    let root = root(&[("data/site.toml", "[worker]\nname = \"linked\"")]);
    std::fs::create_dir_all(root.path().join("etc/biomero/init.d")).unwrap();
    std::os::unix::fs::symlink("/data/site.toml", root.path().join("etc/biomero/init.d/10-site.toml"))
        .unwrap();
    let sources = Sources {
        root: root.path().to_owned(),
        environment: Environment::default(),
        command_line: Vec::new(),
    };
    assert_eq!(load(&sources).unwrap().settings.worker.name, "linked");
}
