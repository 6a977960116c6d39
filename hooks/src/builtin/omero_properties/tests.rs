use std::path::PathBuf;

use biomero_config::Secret;
use proptest::prelude::*;

use super::super::fixture::{Fixture, file};
use super::*;
use crate::context::Facts;

const PATH: &str = "/opt/omero/server/OMERO.server/etc/grid/config.xml";
const LOCK: &str = "/opt/omero/server/OMERO.server/etc/grid/config.xml.lock";

fn fixture(profile: Option<&str>, properties: &[(&str, &str)]) -> Fixture {
    let mut fixture = Fixture::new();
    if let Some(profile) = profile {
        fixture.environment.set("OMERO_CONFIG", profile);
    }
    for (name, value) in properties {
        let value = Secret::new((*value).to_owned());
        fixture.settings.properties.insert((*name).to_owned(), value);
    }
    fixture
}

fn facts(before: Option<&[u8]>) -> Facts {
    before.map_or_else(Facts::default, |before| Facts::default().with_file(PATH, FileFact::file(before)))
}

fn after(fixture: &Fixture, before: Option<&[u8]>) -> String {
    let effects = fixture.plan(&OmeroPropertiesHook, facts(before)).unwrap();
    String::from_utf8(file(&effects, PATH).content.bytes().to_vec()).unwrap()
}

/// The comment carries the date in OMERO's files.
fn without_comment(text: &str) -> String {
    let (start, end) = (text.find("<!--").unwrap(), text.find("-->").unwrap());
    format!("{}<!--COMMENT-->{}", &text[..start], &text[end + 3..])
}

type Case = (&'static str, Option<&'static str>, &'static [(&'static str, &'static str)]);

/// The table of `golden/make.py`.
const CASES: [Case; 12] = [
    ("empty_start", None, &[("a.b1", "c")]),
    (
        "three",
        None,
        &[("a.b1", "c"), ("omero.master.host", "omeroserver"), ("omero.scripts.timeout", "604800000")],
    ),
    ("existing", None, &[("omero.data.dir", "/data"), ("omero.master.host", "other")]),
    (
        "awkward_values",
        None,
        &[
            ("v.amp", "a&b;&amp;"),
            ("v.angle", "<x>"),
            ("v.empty", ""),
            ("v.line", "one\ntwo\r\nthree\tfour"),
            ("v.quote", "\"double\" 'single'"),
            ("v.unicode", "Zürich μm 🔬"),
        ],
    ),
    ("other_profile_empty_start", Some("other"), &[("a.b1", "c")]),
    ("other_profile", Some("other"), &[("a.b1", "c")]),
    ("many_profiles", None, &[("a.b1", "c")]),
    ("profile_missing", None, &[("a.b1", "c")]),
    ("profile_missing_other", Some("other"), &[("a.b1", "c")]),
    ("ldap_4_2_0", None, &[("a.b1", "c")]),
    ("version_4_2_1", None, &[("a.b1", "c")]),
    ("hand_written", None, &[("a.b1", "c")]),
];

fn golden(name: &str) -> Option<Vec<u8>> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/builtin/omero_properties/golden");
    std::fs::read(directory.join(name)).ok()
}

#[test]
fn the_file_is_byte_for_byte_what_omero_config_set_leaves_but_for_the_date() {
    for (name, profile, properties) in CASES {
        let before = golden(&format!("{name}.before.xml"));
        let expected = String::from_utf8(golden(&format!("{name}.after.xml")).expect(name)).unwrap();
        assert_eq!(
            without_comment(&after(&fixture(profile, properties), before.as_deref())),
            expected,
            "{name}"
        );
    }
}

#[test]
fn what_omero_left_with_the_same_properties_is_not_touched() {
    for (name, profile, properties) in CASES {
        let theirs = golden(&format!("{name}.after.xml")).expect(name);
        assert_eq!(after(&fixture(profile, properties), Some(&theirs)).as_bytes(), theirs, "{name}");
    }
}

#[test]
fn a_second_start_changes_nothing() {
    for (name, profile, properties) in CASES {
        let fixture = fixture(profile, properties);
        let first = after(&fixture, golden(&format!("{name}.before.xml")).as_deref());
        assert_eq!(after(&fixture, Some(first.as_bytes())), first, "{name}");
    }
}

#[test]
fn an_active_profile_that_is_no_copy_any_more_is_put_right() {
    let before = r#"<icegrid><properties id="__ACTIVE__"><property name="omero.config.profile" value="default" /><property name="a" value="old" /></properties><properties id="default"><property name="omero.config.version" value="5.1.0" /><property name="a" value="new" /></properties></icegrid>"#;
    let after = after(&fixture(None, &[("a", "new")]), Some(before.as_bytes()));
    assert!(!after.contains("old"), "{after}");
}

#[test]
fn without_properties_the_file_is_neither_made_nor_read() {
    for before in [None, Some(&b"not XML at all"[..])] {
        assert_eq!(fixture(None, &[]).plan(&OmeroPropertiesHook, facts(before)).unwrap(), []);
    }
}

#[test]
fn an_empty_file_is_a_new_one() {
    let fixture = fixture(None, &[("a.b1", "c")]);
    assert_eq!(after(&fixture, Some(b"")), after(&fixture, None));
}

#[test]
fn omeros_own_lock_is_held_and_the_plan_says_what_it_was_based_on() {
    let fixture = fixture(None, &[("a", "1")]);
    let lock = |before| {
        let effects = fixture.plan(&OmeroPropertiesHook, facts(before)).unwrap();
        file(&effects, PATH).lock.clone().unwrap()
    };
    assert_eq!(lock(None), Lock { path: LOCK.into(), based_on: None });
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(lock(Some(b"")), Lock { path: LOCK.into(), based_on: Some(empty.to_owned()) });
}

#[test]
fn a_file_with_a_password_is_hidden_and_closed_to_others() {
    for (properties, secret, mode) in [
        (&[("omero.db.pass", "hunter2")][..], true, 0o600),
        (&[("omero.db.pass", "")], false, 0o644),
        (&[("url", "postgresql://u:p@h/d")], true, 0o600),
        (&[("a", "1")], false, 0o644),
    ] {
        let effects = fixture(None, properties).plan(&OmeroPropertiesHook, facts(None)).unwrap();
        let file = file(&effects, PATH);
        assert_eq!((file.content.is_secret(), file.mode), (secret, mode), "{properties:?}");
    }
    let closed = FileFact::File { content: b"<icegrid/>".to_vec(), mode: 0o640, uid: 1000 };
    let effects = fixture(None, &[("a", "1")])
        .plan(&OmeroPropertiesHook, Facts::default().with_file(PATH, closed))
        .unwrap();
    assert_eq!(file(&effects, PATH).mode, 0o640, "a mode that was chosen is kept");
}

#[test]
fn the_links_of_an_old_omero_web_are_left_to_omero() {
    let before = r#"<icegrid><properties id="default"><property name="omero.config.version" value="4.2.1"/><property name="omero.web.ui.top_links" value="[]"/></properties></icegrid>"#;
    let effects =
        fixture(None, &[("a", "1")]).plan(&OmeroPropertiesHook, facts(Some(before.as_bytes()))).unwrap();
    assert_eq!(
        effects[0],
        Effect::Notice(format!(
            "{PATH}: profile \"default\" is of OMERO 4.2.1 and has omero.web.ui.top_links; the next `omero config` converts it"
        ))
    );
}

#[test]
fn what_cannot_be_read_or_set_is_refused_with_the_remedy() {
    let deep = "<icegrid>".to_owned() + &"<a>".repeat(100);
    let large = vec![b' '; 17 * 1024 * 1024];
    let mut errors: Vec<String> = [
        &b"hello"[..],
        b"<icegrid>\n<properties id=\"default\">\n",
        b"<icegrid>\n</properties>",
        b"<!DOCTYPE x [<!ENTITY a \"b\">]><icegrid/>",
        b"<icegrid><properties id=\"a\"><property name=\"p\" value=\"&a;\"/></properties></icegrid>",
        b"<icegrid><properties id=\"a\" id=\"b\"/></icegrid>",
        b"<icegrid><properties/></icegrid>",
        b"<icegrid/><icegrid/>",
        b"<html/>",
        b"<icegrid>\n \xff",
        b"<?xml version='1.0' encoding='ISO-8859-1'?><icegrid/>",
        b"<icegrid><properties id=\"a\"><property0name=\"x\" value=\"y\"/></properties></icegrid>",
        b"<icegrid><properties id=\"a\"><property na\x01me=\"x\" value=\"y\"/></properties></icegrid>",
        b"<icegrid><properties id=\"a\"><property name=\"x\" value=\"y\x0b\"/></properties></icegrid>",
        deep.as_bytes(),
        &large,
    ]
    .into_iter()
    .map(|before| {
        fixture(None, &[("a", "1")]).plan(&OmeroPropertiesHook, facts(Some(before))).unwrap_err().to_string()
    })
    .collect();
    for (profile, name, value) in [
        (None, "a b", "1"),
        (None, "", "1"),
        (None, "a.pass", "hunter\u{1}2"),
        (Some("__ACTIVE__"), "a", "1"),
    ] {
        let error = fixture(profile, &[(name, value)]).plan(&OmeroPropertiesHook, facts(None)).unwrap_err();
        errors.push(error.to_string());
    }
    for fact in [FileFact::Unreadable("permission denied".to_owned()), FileFact::Other("socket")] {
        let facts = Facts::default().with_file(PATH, fact);
        errors.push(fixture(None, &[("a", "1")]).plan(&OmeroPropertiesHook, facts).unwrap_err().to_string());
    }
    let errors = errors.join("\n");
    assert!(!errors.contains("hunter"), "a value must not be printed");
    insta::assert_snapshot!(errors);
}

proptest! {
    #[test]
    fn what_is_set_is_read_back(
        properties in proptest::collection::btree_map("[A-Za-z0-9._-]{1,12}", "[^\u{0}-\u{8}\u{b}\u{c}\u{e}-\u{1f}\u{fffe}\u{ffff}]*", 1..6)
    ) {
        let properties: Vec<(&str, &str)> =
            properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let fixture = fixture(None, &properties);
        let text = after(&fixture, None);
        let read = active_properties(Path::new(PATH), text.as_bytes(), &fixture.environment).unwrap();
        for (name, value) in properties {
            prop_assert_eq!(read.get(name).map(String::as_str), Some(value), "{}", name);
        }
        prop_assert_eq!(after(&fixture, Some(text.as_bytes())), text);
    }

    #[test]
    fn no_input_makes_it_panic_and_what_is_accepted_becomes_stable(
        text in "(<icegrid>|</icegrid>|<properties id=\"[a-z]?\">|</properties>|<property name=\"[a-z]\" value=\"[&<>a;#1]?\"/>|<!--|-->|<!\\[CDATA\\[|\\]\\]>|<\\?|[<>&\"'a \n/]){0,12}"
    ) {
        let fixture = fixture(None, &[("a", "1")]);
        if let Ok(effects) = fixture.plan(&OmeroPropertiesHook, facts(Some(text.as_bytes()))) {
            let first = file(&effects, PATH).content.bytes().to_vec();
            prop_assert_eq!(after(&fixture, Some(&first)).into_bytes(), first);
        }
    }
}
