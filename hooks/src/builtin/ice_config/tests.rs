use biomero_config::Secret;

use super::super::fixture::{Fixture, file};
use super::*;
use crate::context::{Address, Facts};

const OMERO: &str = "/opt/omero/server/OMERO.server";
const UPSTREAM_INTERNAL: &str = "#\n# Lookup\n#\nIce.Default.Locator=IceGrid/Locator:tcp -h 127.0.0.1 -p @omero.ports.prefix@@omero.ports.registry@\nIceGridAdmin.Username=root\nIceGridAdmin.Password=ome\nIceStormAdmin.TopicManager.Default=OMERO.IceStorm/TopicManager@OMERO.IceStorm.TopicManager\n";
const BIOMERO_ICE: &str = "Ice.Default.Router=OMERO.Glacier2/router:tcp -p 4063 -h @omero.master.host@\n";

fn facts(templates: &[(&str, &str)]) -> Facts {
    let entries = templates
        .iter()
        .map(|(name, text)| TreeEntry { path: (*name).into(), fact: FileFact::file(*text) })
        .collect();
    Facts::default()
        .with_tree(format!("{OMERO}/etc/templates"), entries)
        .with_address("omeroserver", Address::Known("172.18.0.2".parse().unwrap()))
}

fn property(fixture: &mut Fixture, name: &str, value: &str) {
    fixture.settings.properties.insert(name.to_owned(), Secret::new(value.to_owned()));
}

fn config_xml(properties: &[(&str, &str)]) -> FileFact {
    let mut text = "<icegrid><properties id=\"default\">".to_owned();
    for (name, value) in properties {
        text += &format!("<property name=\"{name}\" value=\"{value}\"/>");
    }
    FileFact::file(text + "</properties></icegrid>")
}

fn content(fixture: &Fixture, facts: Facts, name: &str) -> String {
    let effects = fixture.plan(&IceConfigHook, facts).unwrap();
    String::from_utf8(file(&effects, &format!("{OMERO}/etc/{name}")).content.bytes().to_vec()).unwrap()
}

#[test]
fn the_templates_of_an_omero_image_are_filled_in_and_worker_cfg_is_not_copied() {
    let facts = facts(&[
        ("grid", ""),
        ("grid/extra.cfg", "a=@unknown@"),
        ("ice.config", BIOMERO_ICE),
        ("internal.cfg", UPSTREAM_INTERNAL),
        (
            "master.cfg",
            "IceGrid.Registry.Client.Endpoints=tcp -h @omero.master.host@ -p @omero.ports.prefix@@omero.ports.registry@\n",
        ),
        ("web.conf.template", "{{ }}"),
        ("worker.cfg", "IceGrid.Node.Name=@worker.name@\n"),
    ]);
    insta::assert_snapshot!(Fixture::new().shown(&IceConfigHook, facts));
}

#[test]
fn an_image_without_internal_cfg_gets_the_shipped_one() {
    insta::assert_snapshot!(content(&Fixture::new(), facts(&[("ice.config", BIOMERO_ICE)]), "internal.cfg"), @r"
    # How the node and the administration tools of a worker find the master's registry.
    Ice.Default.Locator=IceGrid/Locator:tcp -h omeroserver -p 4061
    IceGridAdmin.Username=root
    IceGridAdmin.Password=ome
    ");
}

#[test]
fn ice_config_is_byte_for_byte_what_the_scripts_write() {
    let ours = content(&Fixture::new(), facts(&[("ice.config", BIOMERO_ICE)]), "ice.config");
    assert_eq!(ours, "Ice.Default.Router=OMERO.Glacier2/router:tcp -p 4063 -h 172.18.0.2\n");
}

#[test]
fn a_locator_that_a_worker_cannot_reach_is_corrected() {
    for (locator, corrected) in [
        ("tcp -h 127.0.0.1 -p 4061", "tcp -h omeroserver -p 4061"),
        ("tcp -p 4061 -h localhost", "tcp -p 4061 -h omeroserver"),
        ("tcp -h localhost:ssl -p 1", "tcp -h omeroserver:ssl -p 1"),
        ("tcp -h \"::1\" -p 4061", "tcp -h omeroserver -p 4061"),
        ("tcp -h other -p 4061", "tcp -h other -p 4061"),
        ("tcp -p 4061", "tcp -p 4061"),
    ] {
        let template = format!("Ice.Default.Locator=IceGrid/Locator:{locator}\n");
        let facts = facts(&[("ice.config", BIOMERO_ICE), ("internal.cfg", &template)]);
        let expected = format!("Ice.Default.Locator=IceGrid/Locator:{corrected}\n");
        assert_eq!(content(&Fixture::new(), facts.clone(), "internal.cfg"), expected);
        let noticed = Fixture::new().shown(&IceConfigHook, facts).contains("notice:");
        assert_eq!(noticed, locator != corrected, "{locator}");
    }
}

#[test]
fn a_master_on_this_machine_is_left_where_it_is() {
    let mut fixture = Fixture::new();
    fixture.settings.master.host = Some("127.0.0.1".to_owned());
    let facts = facts(&[("ice.config", BIOMERO_ICE), ("internal.cfg", UPSTREAM_INTERNAL)]);
    assert!(content(&fixture, facts, "internal.cfg").contains("tcp -h 127.0.0.1 -p 4061"));
}

#[test]
fn ports_and_transports_follow_the_properties_and_then_the_settings() {
    let template = "P=@omero.ports.prefix@@omero.ports.ssl@ R=@omero.ports.registry@ E=@omero.client.endpoints@ T=@omero.tables.module@";
    let mut fixture = Fixture::new();
    fixture.settings.omero.ports.registry = 5061;
    let facts = facts(&[("ice.config", template)]);
    assert_eq!(
        content(&fixture, facts.clone(), "ice.config"),
        "P=4064 R=5061 E=ssl -p 4064:tcp -p 4063 T=runTables"
    );
    let facts = facts.with_file(
        format!("{OMERO}/etc/grid/config.xml"),
        config_xml(&[
            ("omero.ports.prefix", "1"),
            ("omero.ports.registry", "6061"),
            ("omero.client.icetransports", "wss,ssl"),
            ("omero.tables.module", "site.Tables"),
        ]),
    );
    assert_eq!(
        content(&fixture, facts, "ice.config"),
        "P=14064 R=6061 E=wss -p 14066:ssl -p 14064 T=site.Tables"
    );
}

#[test]
fn the_master_is_that_of_the_settings_then_of_the_properties_then_of_config_xml() {
    let templates = [("ice.config", "h=@omero.master.host@"), ("internal.cfg", "n=@omero.master.host@")];
    let host = |fixture: &Fixture, facts: Facts| {
        (content(fixture, facts.clone(), "ice.config"), content(fixture, facts, "internal.cfg"))
    };
    let pair = |address: &str, name: &str| (format!("h={address}"), format!("n={name}"));
    let mut fixture = Fixture::new();
    let facts = facts(&templates)
        .with_address("from-property", Address::Known("10.0.0.1".parse().unwrap()))
        .with_file(format!("{OMERO}/etc/grid/config.xml"), config_xml(&[("Ice.Default.Host", "from-file")]));
    property(&mut fixture, "omero.master.host", "from-property");
    assert_eq!(host(&fixture, facts.clone()), pair("172.18.0.2", "omeroserver"));
    fixture.settings.master.host = None;
    assert_eq!(host(&fixture, facts.clone()), pair("10.0.0.1", "from-property"));
    fixture.settings.properties.clear();
    assert_eq!(host(&fixture, facts), pair("from-file", "from-file"));
}

#[test]
fn an_ipv6_master_is_quoted_in_the_router_only() {
    let template = format!("{BIOMERO_ICE}omero.host=@omero.master.host@\n");
    let facts = facts(&[("ice.config", &template)])
        .with_address("omeroserver", Address::Known("fd00::2".parse().unwrap()));
    insta::assert_snapshot!(content(&Fixture::new(), facts, "ice.config"), @r#"
    Ice.Default.Router=OMERO.Glacier2/router:tcp -p 4063 -h "fd00::2"
    omero.host=fd00::2
    "#);
}

#[test]
fn a_password_in_a_template_hides_the_file() {
    let effects =
        Fixture::new().plan(&IceConfigHook, facts(&[("ice.config", "omero.pass=hunter2")])).unwrap();
    assert!(file(&effects, &format!("{OMERO}/etc/ice.config")).content.is_secret());
    assert!(!file(&effects, &format!("{OMERO}/etc/internal.cfg")).content.is_secret());
}

#[test]
fn a_dry_run_that_could_not_resolve_says_whose_address_belongs_there() {
    let facts = facts(&[("ice.config", BIOMERO_ICE)]).with_address("omeroserver", Address::Unknown);
    assert!(content(&Fixture::new(), facts, "ice.config").contains("-h (address of omeroserver)\n"));
}

#[test]
fn what_cannot_be_rendered_is_refused_with_the_remedy() {
    let refused = |change: &dyn Fn(&mut Fixture), facts: Facts| {
        let mut fixture = Fixture::new();
        change(&mut fixture);
        fixture.plan(&IceConfigHook, facts).unwrap_err().to_string()
    };
    let config = format!("{OMERO}/etc/grid/config.xml");
    let good = facts(&[("ice.config", BIOMERO_ICE)]);
    let unreadable =
        TreeEntry { path: "ice.config".into(), fact: FileFact::Unreadable("permission denied".into()) };
    let errors = [
        refused(&|_| (), Facts::default()),
        refused(&|_| (), facts(&[("internal.cfg", UPSTREAM_INTERNAL)])),
        refused(&|_| (), Facts::default().with_tree(format!("{OMERO}/etc/templates"), vec![unreadable])),
        refused(&|_| (), facts(&[("ice.config", "# @omero.host@\na=1\nb=@omero.mster.host@\n")])),
        refused(&|fixture| fixture.settings.master.host = None, good.clone()),
        refused(
            &|fixture| fixture.settings.master.host = Some("a\nIce.Trace.Network=3".to_owned()),
            good.clone(),
        ),
        refused(&|_| (), good.clone().with_file(&config, config_xml(&[("omero.ports.ssl", "40a4")]))),
        refused(
            &|_| (),
            good.clone().with_file(&config, config_xml(&[("omero.client.icetransports", "ssl, tcp")])),
        ),
        refused(&|_| (), good.clone().with_file(&config, config_xml(&[("omero.tables.module", "a b")]))),
        refused(&|_| (), good.with_file(&config, FileFact::file("no XML"))),
    ];
    insta::assert_snapshot!(errors.join("\n"));
}
