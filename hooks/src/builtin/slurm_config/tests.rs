use super::super::fixture::{Fixture, file};
use super::*;
use crate::context::Facts;

const RENDERED: &str = "/run/biomero/slurm-config.ini";
const SITE: &str = "/etc/slurm-config.ini";
const LAST: &str = "/opt/omero/server/slurm-config.ini";

fn writable() -> FileFact {
    FileFact::Directory { mode: 0o700, uid: 1000, writable: true }
}

fn facts(files: &[(&str, &str)]) -> Facts {
    let facts = Facts::default().with_file("/run/biomero", writable());
    files.iter().fold(facts, |facts, (path, text)| facts.with_file(*path, FileFact::file(*text)))
}

fn points_python_at_it(effects: &[Effect]) -> bool {
    let value = Some(RENDERED.into());
    effects.contains(&Effect::Variable { name: VARIABLE.to_owned(), value })
}

#[test]
fn the_sources_are_merged_and_python_goes_on_reading_them_itself() {
    let facts = facts(&[(SITE, "[SSH]\nhost = cluster\n"), (LAST, "[SSH]\nhost = other\n")]);
    let effects = Fixture::new().plan(&SlurmConfigHook, facts).unwrap();
    let merged = file(&effects, RENDERED);
    let text = String::from_utf8(merged.content.bytes().to_vec()).unwrap();
    assert!(text.contains("other") && !text.contains("cluster"), "{text}");
    assert_eq!((merged.mode, merged.owner), (0o600, Owner::ServiceUser));
    assert!(!points_python_at_it(&effects));
}

#[test]
fn python_is_pointed_at_the_merged_file_when_it_must_or_when_it_is_wanted() {
    let plain = "[SSH]\nhost = a\n";
    let deletes = "[-SSH]\nhost\n";
    for (setting, last, pointed) in [
        (UseRendered::Auto, plain, false),
        (UseRendered::Auto, deletes, true),
        (UseRendered::Always, plain, true),
        (UseRendered::Never, plain, false),
        (UseRendered::Never, deletes, false),
    ] {
        let mut fixture = Fixture::new();
        fixture.settings.slurm_config.use_rendered = setting;
        let effects = fixture.plan(&SlurmConfigHook, facts(&[(SITE, plain), (LAST, last)])).unwrap();
        assert_eq!(points_python_at_it(&effects), pointed, "{setting:?} {last}");
    }
}

#[test]
fn what_python_takes_otherwise_is_said_when_it_may_not_be_pointed_elsewhere() {
    let mut fixture = Fixture::new();
    fixture.settings.slurm_config.use_rendered = UseRendered::Never;
    let shown =
        fixture.shown(&SlurmConfigHook, facts(&[(SITE, "[SSH]\nhost = a\n"), (LAST, "[-SSH]\nhost\n")]));
    assert!(shown.contains("notice: slurm-config.ini holds a deletion or a literal %"), "{shown}");
}

#[test]
fn without_a_file_the_worker_starts_and_says_where_one_belongs() {
    insta::assert_snapshot!(Fixture::new().shown(&SlurmConfigHook, facts(&[])), @"notice: there is no slurm-config.ini (/etc/slurm-config.ini, /OMERO/slurm-config.ini, /opt/omero/server/slurm-config.ini): BIOMERO will use its defaults and the SSH host slurm; mount one at /opt/omero/server/slurm-config.ini");
}

#[test]
fn the_authoritative_file_is_read_alone() {
    let mut fixture = Fixture::new();
    fixture.settings.slurm_config.authoritative = Some("/data/one.ini".into());
    let facts = facts(&[("/data/one.ini", "[SSH]\nhost = one\n"), (SITE, "not even INI")]);
    let effects = fixture.plan(&SlurmConfigHook, facts).unwrap();
    assert!(String::from_utf8_lossy(file(&effects, RENDERED).content.bytes()).contains("one"));
}

#[test]
fn a_tilde_is_the_service_users_home() {
    let mut fixture = Fixture::new();
    fixture.settings.slurm_config.files = vec!["~/slurm-config.ini".into()];
    assert!(fixture.needs(&SlurmConfigHook).contains(&Need::File(LAST.into())));
    assert!(!fixture.plan(&SlurmConfigHook, facts(&[(LAST, "[SSH]\nhost = a\n")])).unwrap().is_empty());
}

#[test]
fn a_directory_that_docker_made_of_a_missing_file_is_told_apart() {
    let facts = facts(&[]).with_file(LAST, writable());
    let shown = Fixture::new().shown(&SlurmConfigHook, facts);
    insta::assert_snapshot!(shown.lines().next().unwrap(), @"notice: /opt/omero/server/slurm-config.ini is a directory, as Docker makes one when the file to be mounted does not exist on the host: it is not read");
}

#[test]
fn a_file_with_a_password_is_never_shown() {
    let facts = facts(&[(SITE, "[ANALYTICS]\nsqlalchemy_url = postgresql://u:hunter2@db/x\n")]);
    let effects = Fixture::new().plan(&SlurmConfigHook, facts.clone()).unwrap();
    assert!(file(&effects, RENDERED).content.is_secret());
    assert!(!Fixture::new().shown(&SlurmConfigHook, facts).contains("hunter2"));
}

#[test]
fn what_python_would_refuse_is_told_with_file_and_line_before_anything_starts() {
    let error = Fixture::new()
        .plan(&SlurmConfigHook, facts(&[(SITE, "[SSH]\nhost = a\nhost = b\n"), (LAST, "nothing\n")]))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("/etc/slurm-config.ini:3") && error.contains("/opt/omero/server/slurm-config.ini:1"),
        "{error}"
    );
}

#[test]
fn a_place_that_cannot_be_written_matters_only_when_it_is_needed() {
    let locked = FileFact::Directory { mode: 0o755, uid: 0, writable: false };
    let facts =
        Facts::default().with_file("/run", locked).with_file(SITE, FileFact::file("[SSH]\nhost = a\n"));
    let mut fixture = Fixture::new();
    fixture.environment.set("SQLALCHEMY_URL", "postgresql://database/biomero");
    insta::assert_snapshot!(fixture.shown(&SlurmConfigHook, facts.clone()), @"notice: /run/biomero/slurm-config.ini is not written, and nothing needs it: /run belongs to uid 0 with mode 755");
    fixture.settings.slurm_config.use_rendered = UseRendered::Always;
    insta::assert_snapshot!(fixture.shown(&SlurmConfigHook, facts), @"error: slurm_config.rendered: /run/biomero/slurm-config.ini cannot be written: /run belongs to uid 0 with mode 755; set it to a path that the worker can write, as /tmp/slurm-config.ini");
}

#[test]
fn what_would_stop_biomero_is_told_and_does_not_stop_the_worker() {
    let text = "[SLURM]\nenv_file_submission = perhaps\ngpu_gres = a\ngpu_gpus = b\n";
    let effects = Fixture::new().plan(&SlurmConfigHook, facts(&[(SITE, text)])).unwrap();
    let told: Vec<&String> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Notice(notice) if notice.starts_with("BIOMERO will not start") => Some(notice),
            _ => None,
        })
        .collect();
    assert!(told.iter().any(|notice| notice.contains("env_file_submission")), "{told:?}");
    assert!(told.iter().any(|notice| notice.contains("gpu_gres") && notice.contains("gpu_gpus")), "{told:?}");
    file(&effects, RENDERED);
}

#[test]
fn a_source_is_never_overwritten() {
    let mut fixture = Fixture::new();
    fixture.settings.slurm_config.rendered = SITE.into();
    let effects = fixture.plan(&SlurmConfigHook, facts(&[(SITE, "[SSH]\nhost = a\n")])).unwrap();
    assert!(effects.iter().all(|effect| matches!(effect, Effect::Notice(_))), "{effects:?}");
}

#[test]
fn an_unreadable_source_is_an_error_where_python_would_pass_it_over_in_silence() {
    let facts = facts(&[]).with_file(SITE, FileFact::Unreadable("permission denied".to_owned()));
    insta::assert_snapshot!(Fixture::new().shown(&SlurmConfigHook, facts), @"error: cannot read /etc/slurm-config.ini: permission denied; make it readable for uid 1000");
}
