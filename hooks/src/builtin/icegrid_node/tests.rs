use std::net::IpAddr;

use biomero_config::WorkerMode;

use super::super::fixture::{Fixture, file};
use super::*;
use crate::context::{Address, Facts};

const CFG: &str = "/opt/omero/server/OMERO.server/etc/biomeroworker.cfg";

fn facts(address: &str) -> Facts {
    let address: IpAddr = address.parse().unwrap();
    Facts::default().with_address("biomeroworker", Address::Known(address))
}

fn content(fixture: &Fixture, facts: Facts) -> String {
    let effects = fixture.plan(&IcegridNodeHook, facts).unwrap();
    String::from_utf8(file(&effects, CFG).content.bytes().to_vec()).unwrap()
}

#[test]
fn an_internal_worker_announces_its_resolved_address_and_any_port() {
    insta::assert_snapshot!(Fixture::new().shown(&IcegridNodeHook, facts("172.18.0.5")), @"
    directory /opt/omero/server/OMERO.server/var/biomeroworker 755 ServiceUser
    directory /opt/omero/server/OMERO.server/var/log 755 ServiceUser
    file /opt/omero/server/OMERO.server/etc/biomeroworker.cfg 644 ServiceUser
      | # IceGrid node of a worker. Tokens between @ signs are filled in when the worker starts.
      | IceGrid.Node.Endpoints=tcp -h 172.18.0.5
      | IceGrid.Node.Name=biomeroworker
      | IceGrid.Node.Data=var/biomeroworker
      | IceGrid.Node.Output=var/log
      | 
      | # Where the node's own messages go, and those of the servers it starts.
      | Ice.StdOut=var/log/biomeroworker.out
      | Ice.StdErr=var/log/biomeroworker.err
    ");
}

#[test]
fn an_external_worker_is_one_whose_deployment_names_the_masters_port() {
    let mut fixture = Fixture::new();
    fixture.settings.master.port = Some(4064);
    insta::assert_snapshot!(content(&fixture, facts("203.0.113.7")), @"
    # OMERO worker configuration for external worker
    IceGrid.Node.Endpoints=tcp -h 203.0.113.7 -p 4062
    IceGrid.Node.Name=biomeroworker
    IceGrid.Node.Data=var/biomeroworker
    IceGrid.Node.Output=var/log

    Ice.StdOut=var/log/biomeroworker.out
    Ice.StdErr=var/log/biomeroworker.err
    ");
    fixture.settings.worker.mode = WorkerMode::Internal;
    assert!(!content(&fixture, facts("203.0.113.7")).contains("-p 4062"), "a mode that is set wins");
}

#[test]
fn the_endpoint_lines_follow_address_bind_and_port() {
    type Case = (WorkerMode, Option<&'static str>, Option<&'static str>, Option<u16>, &'static str);
    let cases: [Case; 9] = [
        (WorkerMode::Internal, None, None, None, "Endpoints=tcp -h 10.0.0.9"),
        (WorkerMode::Internal, None, None, Some(5000), "Endpoints=tcp -h 10.0.0.9 -p 5000"),
        (WorkerMode::Internal, Some("w.example.org"), None, None, "Endpoints=tcp -h w.example.org"),
        (WorkerMode::Internal, Some("fd00::7"), None, None, "Endpoints=tcp -h \"fd00::7\""),
        (
            WorkerMode::Internal,
            Some("w.example.org"),
            Some("0.0.0.0"),
            Some(5000),
            "Endpoints=tcp -h 0.0.0.0 -p 5000|PublishedEndpoints=tcp -h w.example.org -p 5000",
        ),
        (WorkerMode::External, None, None, None, "Endpoints=tcp -h 10.0.0.9 -p 4062"),
        (
            WorkerMode::External,
            Some("203.0.113.7"),
            None,
            Some(14062),
            "Endpoints=tcp -h 203.0.113.7 -p 14062",
        ),
        (
            WorkerMode::External,
            Some("203.0.113.7"),
            Some("10.0.0.9"),
            None,
            "Endpoints=tcp -h 10.0.0.9 -p 4062|PublishedEndpoints=tcp -h 203.0.113.7 -p 4062",
        ),
        (
            WorkerMode::External,
            Some("[fd00::7]"),
            Some("::"),
            None,
            "Endpoints=tcp -h \"::\" -p 4062|PublishedEndpoints=tcp -h \"fd00::7\" -p 4062",
        ),
    ];
    for (mode, address, bind, port, expected) in cases {
        let mut fixture = Fixture::new();
        fixture.settings.worker.mode = mode;
        fixture.settings.worker.address = address.map(str::to_owned);
        fixture.settings.worker.bind = bind.map(str::to_owned);
        fixture.settings.worker.port = port;
        let content = content(&fixture, facts("10.0.0.9"));
        let endpoints: Vec<&str> = content
            .lines()
            .filter(|line| line.contains("Endpoints="))
            .map(|line| &line["IceGrid.Node.".len()..])
            .collect();
        assert_eq!(endpoints.join("|"), expected);
    }
}

#[test]
fn only_a_worker_without_an_address_of_its_own_is_resolved() {
    let mut fixture = Fixture::new();
    let asks = |fixture: &Fixture| {
        fixture.needs(&IcegridNodeHook).contains(&Need::Address("biomeroworker".to_owned()))
    };
    assert!(asks(&fixture));
    fixture.settings.worker.address = Some("203.0.113.7".to_owned());
    assert!(!asks(&fixture));
}

#[test]
fn a_dry_run_that_could_not_resolve_says_whose_address_belongs_there() {
    let content = content(&Fixture::new(), Facts::default());
    assert!(content.contains("IceGrid.Node.Endpoints=tcp -h (address of biomeroworker)\n"), "{content}");
}

#[test]
fn directories_that_services_can_write_in_are_left_as_they_are() {
    let there = FileFact::Directory { mode: 0o1777, uid: 0, writable: true };
    let facts = facts("10.0.0.9")
        .with_file("/opt/omero/server/OMERO.server/var/log", there.clone())
        .with_file("/opt/omero/server/OMERO.server/var/biomeroworker", there);
    assert_eq!(Fixture::new().plan(&IcegridNodeHook, facts).unwrap().len(), 1);
}

#[test]
fn what_makes_no_node_is_refused_with_the_remedy() {
    let refused = |change: &dyn Fn(&mut Fixture), facts: Facts| {
        let mut fixture = Fixture::new();
        change(&mut fixture);
        fixture.plan(&IcegridNodeHook, facts).unwrap_err().to_string()
    };
    let template = |text: &str| {
        facts("10.0.0.9")
            .with_file("/opt/omero/server/OMERO.server/etc/templates/worker.cfg", FileFact::file(text))
    };
    let errors = [
        refused(&|fixture| fixture.settings.worker.name = "../x".to_owned(), Facts::default()),
        refused(&|fixture| fixture.settings.worker.name = "master".to_owned(), Facts::default()),
        refused(&|fixture| fixture.settings.worker.bind = Some("0.0.0.0".to_owned()), facts("10.0.0.9")),
        refused(
            &|fixture| fixture.settings.worker.address = Some("a\nIce.Trace=1".to_owned()),
            facts("10.0.0.9"),
        ),
        refused(&|_| (), template("IceGrid.Node.Endpoints=tcp -h @omero.worker.hots@\n")),
        refused(
            &|fixture| fixture.settings.worker.port = Some(1),
            template("IceGrid.Node.Name=@worker.name@\n"),
        ),
        refused(
            &|_| (),
            Facts::default().with_file(
                "/opt/omero/server/OMERO.server/etc/templates/worker.cfg",
                FileFact::Unreadable("permission denied".to_owned()),
            ),
        ),
    ];
    insta::assert_snapshot!(errors.join("\n"));
}
