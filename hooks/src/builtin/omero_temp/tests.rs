use super::super::fixture::Fixture;
use super::*;
use crate::context::Facts;

const TEMPORARY: &str = "/opt/omero/server/tmp";
const USER: &str = "/opt/omero/server/omero";

fn directory(uid: u32, mode: u32, writable: bool) -> FileFact {
    FileFact::Directory { mode, uid, writable }
}

/// The service user's home with these entries.
fn home(entries: &[(&str, FileFact)]) -> Facts {
    let facts = Facts::default().with_file("/opt/omero/server", directory(1000, 0o755, true));
    entries.iter().fold(facts, |facts, (path, fact)| facts.with_file(*path, fact.clone()))
}

fn shown(facts: Facts) -> String {
    Fixture::new().shown(&OmeroTempHook, facts)
}

#[test]
fn a_fresh_container_gets_both_directories() {
    insta::assert_snapshot!(shown(home(&[])), @r"
    directory /opt/omero/server/omero 700 ServiceUser
    directory /opt/omero/server/tmp 700 ServiceUser
    variable OMERO_TMPDIR = /opt/omero/server/tmp
    variable OMERO_USERDIR = /opt/omero/server/omero
    ");
}

#[test]
fn a_restart_asks_for_the_same() {
    let again = home(&[
        (TEMPORARY, directory(1000, 0o700, true)),
        (USER, directory(1000, 0o700, true)),
        ("/opt/omero/server/tmp/omero_omero-server", directory(1000, 0o700, true)),
        ("/opt/omero/server/omero/sessions", directory(1000, 0o700, true)),
    ]);
    assert_eq!(shown(again), shown(home(&[])));
}

#[test]
fn what_an_earlier_container_left_under_another_owner_is_moved_aside_and_said() {
    insta::assert_snapshot!(shown(home(&[(TEMPORARY, directory(1001, 0o700, false))])), @r"
    directory /opt/omero/server/omero 700 ServiceUser
    notice: /opt/omero/server/tmp belongs to uid 1001 with mode 700, where OMERO's programs of uid 1000 could not lock a file: it is moved to /opt/omero/server/tmp.moved-aside; remove that when nobody needs it
    move /opt/omero/server/tmp to /opt/omero/server/tmp.moved-aside: belongs to uid 1001 with mode 700
    directory /opt/omero/server/tmp 700 ServiceUser
    variable OMERO_TMPDIR = /opt/omero/server/tmp
    variable OMERO_USERDIR = /opt/omero/server/omero
    ");
}

#[test]
fn a_directory_of_ours_that_lost_its_write_bit_gets_its_mode_back() {
    assert_eq!(shown(home(&[(TEMPORARY, directory(1000, 0o500, false))])), shown(home(&[])));
}

#[test]
fn another_owners_volume_that_can_be_written_in_stays_and_lends_a_place() {
    let volume = (TEMPORARY, directory(0, 0o1777, true));
    insta::assert_snapshot!(shown(home(std::slice::from_ref(&volume))), @r"
    directory /opt/omero/server/omero 700 ServiceUser
    directory /opt/omero/server/tmp/uid-1000 700 ServiceUser
    notice: /opt/omero/server/tmp belongs to uid 0, so /opt/omero/server/tmp/uid-1000 is used as OMERO_TMPDIR
    variable OMERO_TMPDIR = /opt/omero/server/tmp/uid-1000
    variable OMERO_USERDIR = /opt/omero/server/omero
    ");
    let taken = ("/opt/omero/server/tmp/uid-1000", directory(1001, 0o700, false));
    insta::assert_snapshot!(shown(home(&[volume, taken])), @"error: /opt/omero/server/tmp/uid-1000 (temporary.directory): belongs to uid 1001 with mode 700, and uid 1000 cannot rename it; type: chown -R 1000 /opt/omero/server/tmp/uid-1000 (for a volume, on the host), or set OMERO_TMPDIR to another path");
}

#[test]
fn what_is_anothers_inside_our_own_directory_is_moved_aside() {
    let facts = home(&[
        (TEMPORARY, directory(1000, 0o700, true)),
        ("/opt/omero/server/tmp/omero_omero-server", directory(1001, 0o700, false)),
        (USER, directory(1000, 0o700, true)),
        ("/opt/omero/server/omero/sessions", FileFact::file("")),
    ]);
    let shown = shown(facts);
    let moved: Vec<&str> = shown.lines().filter(|line| line.starts_with("move ")).collect();
    insta::assert_snapshot!(moved.join("\n"), @r"
    move /opt/omero/server/omero/sessions to /opt/omero/server/omero/sessions.moved-aside: is a file of uid 0
    move /opt/omero/server/tmp/omero_omero-server to /opt/omero/server/tmp/omero_omero-server.moved-aside: belongs to uid 1001 with mode 700
    ");
}

#[test]
fn names_already_taken_are_passed_over_until_someone_must_look() {
    let mut entries = vec![(TEMPORARY.to_owned(), FileFact::Other("socket"))];
    let asides: Vec<PathBuf> = asides(Path::new(TEMPORARY)).collect();
    for (taken, aside) in asides.iter().enumerate() {
        let given: Vec<(&str, FileFact)> =
            entries.iter().map(|(path, fact)| (path.as_str(), fact.clone())).collect();
        let expected = format!("move {TEMPORARY} to {}: is a socket\n", aside.display());
        assert!(shown(home(&given)).contains(&expected), "{taken} taken");
        entries.push((aside.display().to_string(), directory(1001, 0o700, false)));
    }
    let given: Vec<(&str, FileFact)> =
        entries.iter().map(|(path, fact)| (path.as_str(), fact.clone())).collect();
    insta::assert_snapshot!(shown(home(&given)), @"error: /opt/omero/server/tmp (temporary.directory): is a socket, and 9 others were moved aside before it; type: rm -r /opt/omero/server/tmp.moved-aside*");
}

#[test]
fn a_temporary_directory_inside_a_user_directory_that_was_moved_is_made_anew() {
    let mut fixture = Fixture::new();
    fixture.settings.temporary.directory = format!("{USER}/tmp").into();
    let facts = home(&[
        (USER, directory(1001, 0o700, false)),
        ("/opt/omero/server/omero/tmp", FileFact::Unreadable("permission denied".to_owned())),
    ]);
    let shown = fixture.shown(&OmeroTempHook, facts);
    assert!(shown.contains("move /opt/omero/server/omero to /opt/omero/server/omero.moved-aside"), "{shown}");
    assert!(shown.contains("directory /opt/omero/server/omero/tmp 700 ServiceUser"), "{shown}");
}

#[test]
fn root_may_rename_what_an_ordinary_user_may_not() {
    let sticky = Facts::default()
        .with_file("/opt/omero/server", directory(0, 0o1777, true))
        .with_file(TEMPORARY, directory(1001, 0o700, false));
    assert!(shown(sticky.clone()).starts_with("error: /opt/omero/server/tmp"));
    let mut fixture = Fixture::new();
    fixture.identity.uid = 0;
    assert!(fixture.shown(&OmeroTempHook, sticky).contains("move /opt/omero/server/tmp to"));
}

#[test]
fn a_user_id_that_the_image_does_not_know_is_told_what_to_set() {
    let mut fixture = Fixture::new();
    (fixture.identity.uid, fixture.identity.service_uid) = (1_000_650_000, 1_000_650_000);
    let facts = Facts::default().with_file("/opt/omero/server", directory(1000, 0o755, false));
    insta::assert_snapshot!(fixture.shown(&OmeroTempHook, facts), @"error: /opt/omero/server/omero (temporary.user_directory): cannot be made: /opt/omero/server belongs to uid 1000 with mode 755, and init is uid 1000650000; set OMERO_USERDIR to a path that uid 1000650000 can make, or mount a volume there");
}

#[test]
fn what_can_be_no_directory_of_omeros_is_refused() {
    let mut fixture = Fixture::new();
    fixture.settings.temporary.directory = "/".into();
    insta::assert_snapshot!(fixture.shown(&OmeroTempHook, home(&[])), @"error: temporary.directory: / cannot be a directory of OMERO's alone; set it, or OMERO_TMPDIR, to an absolute path, as /opt/omero/server/tmp");
    insta::assert_snapshot!(shown(home(&[(USER, FileFact::Unreadable("permission denied".to_owned()))])), @"error: cannot read /opt/omero/server/omero: permission denied; let uid 1000 into the directories above it, or set OMERO_USERDIR");
}

#[test]
fn every_path_that_is_looked_at_was_asked_for() {
    let needs = Fixture::new().needs(&OmeroTempHook);
    for path in [
        "/opt/omero/server",
        "/opt/omero/server/tmp",
        "/opt/omero/server/tmp/uid-1000",
        "/opt/omero/server/tmp/omero_omero-server",
        "/opt/omero/server/tmp/omero_omero-server.moved-aside",
        "/opt/omero/server/tmp.moved-aside-9",
        "/opt/omero/server/omero/sessions",
    ] {
        assert!(needs.contains(&Need::File(path.into())), "{path}");
    }
}
