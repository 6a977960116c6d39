use super::*;

fn context() -> Context {
    let omero = "/opt/omero/server/OMERO.server";
    Context::empty()
        .with_setting("omero.directory", omero)
        .with_setting("worker.name", "biomeroworker")
        .with_state(VARIABLE_DIRECTORY, &format!("{omero}/var/biomeroworker"), FileState::Absent)
        .with_state(LOG_DIRECTORY, &format!("{omero}/var/log"), FileState::Directory)
}

/// The two lines that tell where the node is.
fn endpoints(context: &Context) -> Result<[String; 2], String> {
    let effects = NatWorker::plan(context).map_err(|error| error.sentence())?;
    let text = effects
        .into_iter()
        .find_map(|effect| match effect {
            Effect::File(file) => String::from_utf8(file.content).ok(),
            _ => None,
        })
        .unwrap();
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap().to_owned();
    Ok([value("IceGrid.Node.Endpoints="), value("IceGrid.Node.PublishedEndpoints=")])
}

#[test]
fn the_routers_address_is_announced_and_the_own_one_listened_on() {
    let context = context()
        .with_variable("BIOMERO_PUBLIC_ADDRESS", "203.0.113.7")
        .with_variable("BIOMERO_PUBLIC_PORT", "14062")
        .with_setting("worker.bind", "10.0.0.9");
    let omero = "/opt/omero/server/OMERO.server";
    assert_eq!(
        NatWorker::plan(&context).unwrap(),
        [
            Directory::new(format!("{omero}/var/biomeroworker")).into(),
            File::text(
                format!("{omero}/etc/biomeroworker.cfg"),
                "# IceGrid node behind NAT. Written at every start by the site hook nat-worker.\n\
                 IceGrid.Node.Endpoints=tcp -h 10.0.0.9 -p 4062\n\
                 IceGrid.Node.PublishedEndpoints=tcp -h 203.0.113.7 -p 14062\n\
                 IceGrid.Node.Name=biomeroworker\n\
                 IceGrid.Node.Data=var/biomeroworker\n\
                 IceGrid.Node.Output=var/log\n\
                 \n\
                 Ice.StdOut=var/log/biomeroworker.out\n\
                 Ice.StdErr=var/log/biomeroworker.err\n"
            )
            .into(),
            Effect::notice("the router must forward tcp -h 203.0.113.7 -p 14062 to port 4062 of this worker"),
        ]
    );
}

#[test]
fn settings_stand_in_for_variables_that_are_not_set() {
    let context =
        context().with_setting("worker.address", "[2001:db8::7]").with_setting("worker.port", "5000");
    assert_eq!(endpoints(&context).unwrap(), ["tcp -h 0.0.0.0 -p 5000", "tcp -h \"2001:db8::7\" -p 5000"]);
}

#[test]
fn what_makes_no_node_is_refused_with_the_remedy() {
    let refused = |context: Context| endpoints(&context).unwrap_err();
    assert!(refused(context()).starts_with("BIOMERO_PUBLIC_ADDRESS is not set: set it to the address"));
    let named = |address: &str| context().with_variable("BIOMERO_PUBLIC_ADDRESS", address);
    for address in ["a b", "a\nIce.Trace=1", "-p", "ä"] {
        assert!(refused(named(address)).starts_with("BIOMERO_PUBLIC_ADDRESS: "), "{address}");
    }
    for port in ["0", "65536", "http"] {
        let context = named("router.example.org").with_variable("BIOMERO_PUBLIC_PORT", port);
        assert!(refused(context).starts_with("BIOMERO_PUBLIC_PORT: "), "{port}");
    }
    let in_the_way = Context::empty()
        .with_setting("omero.directory", "/opt")
        .with_setting("worker.name", "../x")
        .with_variable("BIOMERO_PUBLIC_ADDRESS", "a");
    assert!(refused(in_the_way).contains("cannot name a node"));
}
