use biomero_config::Sources;

use super::*;

/// The shipped defaults with these settings over them.
fn settings(over: &[(&str, &str)]) -> Settings {
    let folder = tempfile::tempdir().unwrap();
    let sources = Sources {
        root: folder.path().to_owned(),
        environment: Environment::default(),
        command_line: over.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    };
    biomero_config::load(&sources).unwrap_or_else(|error| panic!("{error}")).settings
}

fn identity(uid: u32) -> Identity {
    Identity {
        uid,
        gid: uid,
        service_uid: 1000,
        service_gid: 1000,
        service_name: "omero-server".into(),
        service_home: "/opt/omero/server".into(),
    }
}

fn resolve(over: &[(&str, &str)], uid: u32) -> Result<Vec<ServiceDefinition>, DefinitionError> {
    let facts = Facts {
        exists: &|path| path.ends_with("Linux.cfg"),
        account: &|user| {
            let known_as = Some(("postgres".to_owned(), "/var/lib/postgresql".into()));
            (user == "postgres").then_some(Account { uid: 105, gid: 110, known_as })
        },
    };
    let environment = Environment::from_iter([("PATH", "/usr/bin"), ("PYTHONPATH", "/x")]);
    ServiceDefinition::resolve_with(&settings(over), &identity(uid), &environment, &facts)
}

fn words(argv: &[OsString]) -> String {
    argv.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_node_is_started_as_omero_would_start_it() {
    let node = resolve(&[("worker.name", "w1")], 0).unwrap().remove(0);
    insta::assert_snapshot!(words(&node.argv), @"icegridnode --Ice.Config=/opt/omero/server/OMERO.server/etc/internal.cfg,/opt/omero/server/OMERO.server/etc/w1.cfg,/opt/omero/server/OMERO.server/etc/Linux.cfg --nochdir");
    let variables: Vec<_> = node.environment.utf8().map(|(name, value)| format!("{name}={value}")).collect();
    insta::assert_snapshot!(variables.join("\n"), @r#"
    OMERO_NODE=w1
    PATH=/usr/local/lib/biomero/bin:/usr/bin:/opt/omero/server/venv3/bin
    PYTHONPATH=/x:/opt/omero/server/OMERO.server/var/lib
    "#);
    assert_eq!(node.directory, Path::new("/opt/omero/server/OMERO.server"));
    assert_eq!((node.user, node.main, node.stop_signal), (Some((1000, 1000)), true, Signal::TERM));
}

#[test]
fn the_node_can_be_left_to_omero() {
    let node =
        resolve(&[("services.node.launcher", "omero-node"), ("worker.name", "w1")], 0).unwrap().remove(0);
    insta::assert_snapshot!(words(&node.argv), @"/opt/omero/server/venv3/bin/omero node w1 start --foreground");
}

#[test]
fn only_root_changes_users() {
    let users = |over: &[(&str, &str)], uid| resolve(over, uid).unwrap().remove(0).user;
    assert_eq!(users(&[], 1000), None);
    assert_eq!(users(&[("services.node.user", "postgres")], 0), Some((105, 110)));
    assert_eq!(users(&[("services.node.user", "7:8")], 0), Some((7, 8)));
    assert_eq!(users(&[("services.node.user", "0")], 0), None);
}

#[test]
fn a_service_with_a_user_of_its_own_gets_that_user_s_home() {
    let variables = |over: &[(&str, &str)], uid| {
        let environment = resolve(over, uid).unwrap().remove(0).environment;
        ["HOME", "USER", "LOGNAME"].map(|name| environment.get(name).unwrap_or("-").to_owned())
    };
    let user = ("services.node.user", "postgres");
    assert_eq!(variables(&[user], 0), ["/var/lib/postgresql", "postgres", "postgres"]);
    assert_eq!(variables(&[user], 1000), ["-", "-", "-"], "an ordinary user stays who it is");
    let home = ("services.node.environment.HOME", "/elsewhere");
    assert_eq!(variables(&[user, home], 0)[0], "/elsewhere", "what is written wins");
}

#[test]
fn services_come_after_what_they_depend_on() {
    let services = resolve(
        &[
            ("services.node.depends_on", r#"["z"]"#),
            ("services.z.command", r#"["true"]"#),
            ("services.a.command", r#"["true"]"#),
            ("services.a.depends_on", r#"["node"]"#),
            ("services.workflows.enabled", "false"),
        ],
        0,
    );
    let names: Vec<_> = services.unwrap().into_iter().map(|service| service.name).collect();
    assert_eq!(names, ["z", "node", "a"]);
}

#[test]
fn what_cannot_be_is_refused_with_the_remedy() {
    // Past the checks of the configuration, which would refuse some of these first.
    let service = |command: &[&str], depends_on: &[&str]| Service {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        depends_on: depends_on.iter().map(|name| (*name).to_owned()).collect(),
        ..Service::default()
    };
    let node = || service(&["true"], &[]);
    let disabled = || Service { enabled: false, ..node() };
    let stopped_by = Service {
        stop: biomero_config::Stop { signal: "TREM".into(), ..biomero_config::Stop::default() },
        ..node()
    };
    let mut text = String::new();
    for services in [
        vec![("node", disabled())],
        vec![("a", service(&[], &[]))],
        vec![("a", Service { launcher: Some(Launcher::OmeroNode), ..service(&[], &[]) })],
        vec![("a", stopped_by)],
        vec![("a", Service { user: Some("nobody-here".into()), ..node() })],
        vec![("a", service(&["true"], &["b"])), ("c", node())],
        vec![("a", service(&["true"], &["node"])), ("node", disabled())],
        vec![("a", service(&["true"], &["node"])), ("node", service(&["true"], &["a"])), ("z", node())],
        vec![("a", service(&["true"], &["a"]))],
    ] {
        let mut settings = settings(&[]);
        settings.services = services.into_iter().map(|(name, service)| (name.to_owned(), service)).collect();
        let facts = Facts { exists: &|_| false, account: &|_| None };
        let refused =
            ServiceDefinition::resolve_with(&settings, &identity(0), &Environment::default(), &facts)
                .unwrap_err();
        text.push_str(&format!("{refused}\n"));
    }
    insta::assert_snapshot!(text, @r#"
    no service is enabled: enable one in [services], or name a command (`init -- COMMAND`)
    services.a.command is empty: write the program and its arguments, as ["sleep", "60"]
    services.a.launcher: only the service `node` has a launcher; write services.a.command
    services.a.stop.signal: "TREM" is not a signal: write a name as TERM or SIGTERM, or a number from 1 to 64 (`kill -l` lists them)
    services.a.user: there is no user "nobody-here" here: write a name of /etc/passwd, a number, or UID:GID
    services.a.depends_on names "b", which is no service: the services are a, c
    services.a.depends_on names "node", which is disabled: the services are a
    services wait for each other: a -> node -> a: remove one of these from `depends_on`
    services wait for each other: a -> a: remove one of these from `depends_on`
    "#);
}
