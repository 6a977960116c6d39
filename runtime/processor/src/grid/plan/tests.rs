use std::ffi::OsStr;

use super::*;

fn settings(edit: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings::shipped();
    settings.master.host = Some("omeroserver".to_owned());
    edit(&mut settings);
    settings
}

fn activation(file: &str) -> Activation {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config");
    std::fs::write(&path, file).expect("a file is written");
    let argument = format!("--Ice.Config={}", path.display());
    Activation::of([OsStr::new(&argument)]).expect("it is read").expect("it is there")
}

const OF_NODE: &str = "Ice.Admin.ServerId=Processor-0\nProcessorAdapter.AdapterId=Processor-0.ProcessorAdapter\n\
                       Ice.Default.Locator=IceGrid/Locator:tcp -h master -p 4061\n";

#[test]
fn what_a_processor_does_follows_from_the_settings() {
    let settings = settings(|settings| {
        settings.omero.ports.prefix = "1".to_owned();
        settings.processor.limits.memory = Some(2048);
        settings.processor.variables.forward = vec!["SITE_*".to_owned()];
        settings.processor.variables.withhold = vec!["*URL".to_owned()];
    });
    let environment = Environment::from_iter([
        ("PATH", "/usr/local/lib/biomero/bin:/bin"),
        ("SITE_A", "planted"),
        ("SQLALCHEMY_URL", "planted"),
        ("OMERO_NODE", "planted"),
    ]);
    let plan = plan(&settings, &environment, None).expect("a plan");
    let told = plan.told().join("\n");
    let expected = "registry: IceGrid/Locator -t -e 1.1:tcp -h omeroserver -p 14061 -t 60000\n\
        router: omeroserver, port 14063\n\
        reached at: the address of this machine by which the master is reached, any port\n\
        launcher: /opt/omero/server/venv3/bin/python\n\
        runs: /opt/omero/server/tmp/scripts\n\
        at once: 100, and 1000 more that wait\n\
        limits: time none, memory 2048 MiB, addresses none, open files the worker's, each output 256 MiB, 30 s between TERM and KILL\n\
        when it ends: scripts go on\n\
        variables of a script: ICE_CONFIG OMERO_HOME PATH PYTHONPATH SITE_A";
    assert_eq!(told, expected);
    assert_eq!(plan.place.shim.as_deref(), Some(settings.processor.shim.as_path()));
}

#[test]
fn a_node_says_where_the_registry_is_and_where_to_listen() {
    let of = |line: &str| {
        let settings = settings(|settings| settings.master.host = None);
        plan(&settings, &Environment::default(), Some(activation(&format!("{OF_NODE}{line}"))))
            .expect("a plan")
    };
    let any = of("ProcessorAdapter.Endpoints=tcp\n");
    assert_eq!((any.endpoint.host.as_str(), any.endpoint.port), ("", 0));
    assert_eq!((any.router.host.as_str(), any.router.port), ("master", 4063));
    let said = of("ProcessorAdapter.Endpoints=tcp -h 127.0.0.1 -p 5000\n");
    assert_eq!((said.endpoint.host.as_str(), said.endpoint.port), ("127.0.0.1", 5000));
    let nonsense = of("ProcessorAdapter.Endpoints=nonsense -x\n");
    assert_eq!(nonsense.endpoint.port, 0);
}

#[test]
fn what_cannot_be_is_told_with_the_setting() {
    let refused = |edit: fn(&mut Settings)| {
        plan(&settings(edit), &Environment::default(), None).expect_err("no plan").to_string()
    };
    assert!(refused(|settings| settings.master.host = None).contains("master.host"));
    let port = refused(|settings| settings.omero.ports.prefix = "99".to_owned());
    assert!(port.contains("994061 is no port") && port.contains("omero.ports.registry"), "{port}");
}
