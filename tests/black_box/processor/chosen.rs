//! Which database it is, and who named it.

use std::path::Path;
use std::process::Command;

use biomero_tests::{Result, Trouble};

use super::stage::{Stage, ends_with};

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(Trouble::doing(format!("write {}", path.display())))
}

#[test]
fn the_first_that_names_a_database_wins_and_the_doctor_says_who_that_was() -> Result<()> {
    let stage = Stage::empty("processor_chosen")?;
    let folder = stage.scratch.path();
    let url = |name: &str| format!("sqlite:///{}/{name}", folder.display());
    let ini = folder.join("slurm-config.ini");
    write(&ini, &format!("[ANALYTICS]\nsqlalchemy_url = {}\n", url("by-ini")))?;

    let told = |database: &[&str], change: &dyn Fn(&mut Command)| -> Result<(String, String)> {
        let mut told = Vec::new();
        for verb in ["init", "doctor"] {
            let mut command = stage.command(&[database, &[verb]].concat());
            command.env_remove("SQLALCHEMY_URL").env("BIOMERO_SLURM_CONFIG_FILE", &ini);
            command.env("BIOMERO_INIT_EVENTS__FILE", folder.join("by-setting"));
            change(&mut command);
            told.push(ends_with(0, &mut command)?);
        }
        let doctor = told.pop().unwrap_or_default();
        let (place, origin) =
            doctor.lines().next().and_then(|line| line.split_once(", named by ")).unwrap_or_default();
        Ok((place.to_owned(), origin.to_owned()))
    };
    let variable = |command: &mut Command| {
        command.env("SQLALCHEMY_URL", url("by-variable"));
    };
    let by_option = url("by-option");
    assert_eq!(told(&["--database", &by_option], &variable)?, (by_option.clone(), "--database".to_owned()));
    assert_eq!(told(&[], &variable)?, (url("by-variable"), "the variable SQLALCHEMY_URL".to_owned()));
    let by_ini = format!("sqlalchemy_url in {}:2", ini.display());
    assert_eq!(told(&[], &|_| ())?, (url("by-ini"), by_ini));
    let no_ini = |command: &mut Command| {
        command.env_remove("BIOMERO_SLURM_CONFIG_FILE");
    };
    assert_eq!(told(&[], &no_ini)?, (url("by-setting"), "the setting events.file".to_owned()));
    if !Path::new("/var/lib/biomero").exists() {
        let nobody = |command: &mut Command| {
            command.env_remove("BIOMERO_SLURM_CONFIG_FILE").env_remove("BIOMERO_INIT_EVENTS__FILE");
        };
        let (place, origin) = told(&[], &nobody)?;
        assert_eq!(place, url(".local/state/biomero/events.sqlite"));
        assert!(origin.starts_with("default: neither --database nor SQLALCHEMY_URL nor "), "{origin}");
    }
    Ok(())
}

#[test]
fn a_file_that_may_name_the_database_and_cannot_be_read_stops_it_unless_another_has_spoken() -> Result<()> {
    let stage = Stage::with_history("processor_chosen_broken")?;
    let ini = stage.scratch.path().join("slurm-config.ini");
    write(&ini, "[ANALYTICS\nsqlalchemy_url = s3cr3t\n")?;
    let mut command = stage.command(&["select"]);
    ends_with(0, command.env("BIOMERO_SLURM_CONFIG_FILE", &ini))?;
    let mut command = stage.command(&["select"]);
    command.env("BIOMERO_SLURM_CONFIG_FILE", &ini).env_remove("SQLALCHEMY_URL");
    let told = ends_with(78, &mut command)?;
    assert!(told.contains(&ini.display().to_string()) && !told.contains("s3cr3t"), "{told}");
    Ok(())
}
