//! Exports through the router's port for TLS.

use std::process::{Command, Output};
use std::time::Duration;

use biomero_tests::blitz::{self, Omero, Shown};
use biomero_tests::{Result, binary, process};

use super::export::Stage;

/// `processor export` of an image over TLS.
fn export(stage: &Stage, more: &[&str]) -> Result<Output> {
    let server = format!("ssl://127.0.0.1:{}", stage.omero.secure_port());
    let mut command = Command::new(binary::processor()?);
    command.args(["export", "omero:Image:8", "-s", &server, "-k", &stage.key, "--output", "out"]);
    process::output(command.args(more).current_dir(stage.path("")), Duration::from_secs(60))
}

#[test]
fn a_certificate_is_good_if_it_is_the_one_that_is_trusted_or_anybody_is() -> Result<()> {
    let stage = Stage::with(|| Omero::start_secure(Shown::Own))?;
    // Who has signed it is nobody that this machine trusts.
    let refused = export(&stage, &[])?;
    let told = process::both(&refused);
    assert_eq!(refused.status.code(), Some(69), "{told}");
    assert!(told.contains("invalid peer certificate") && told.contains("trust the authority"), "{told}");
    let own = stage.omero.certificates().display().to_string();
    for (name, whom) in [("own", own.as_str()), ("any", "any")] {
        let exported = export(&stage, &["--trust", whom, "--name", name])?;
        assert!(exported.status.success(), "{}", process::both(&exported));
        blitz::compare(8, &stage.path(&format!("out/{name}.ome.zarr")), None)?;
    }
    // Another one is not good, whatever it says.
    let other = Stage::with(|| Omero::start_secure(Shown::Own))?;
    let strange = other.omero.certificates().display().to_string();
    let refused = export(&stage, &["--trust", &strange, "--name", "strange"])?;
    assert_eq!(refused.status.code(), Some(69), "{}", process::both(&refused));
    for (file, reason) in [("/dev/null", "no -----BEGIN CERTIFICATE-----"), ("/nowhere.pem", "No such file")]
    {
        let refused = export(&stage, &["--trust", file, "--name", "none"])?;
        let told = process::both(&refused);
        assert_eq!((refused.status.code(), told.contains(reason)), (Some(64), true), "{told}");
    }
    Ok(())
}

#[test]
fn a_certificate_of_an_authority_is_good_for_the_address_in_it() -> Result<()> {
    let stage = Stage::with(|| Omero::start_secure(Shown::Signed))?;
    let authority = stage.omero.certificates().display().to_string();
    let exported = export(&stage, &["--trust", &authority])?;
    assert!(exported.status.success(), "{}", process::both(&exported));
    let server = format!("ssl://localhost:{}", stage.omero.secure_port());
    let mut command = Command::new(binary::processor()?);
    command.args(["export", "omero:Image:8", "-s", &server, "-k", &stage.key, "--output", "out"]);
    command.args(["--trust", &authority, "--name", "other"]).current_dir(stage.path(""));
    let told = process::both(&process::output(&mut command, Duration::from_secs(60))?);
    assert!(told.contains("not valid for name \"localhost\""), "{told}");
    Ok(())
}

#[test]
fn a_server_without_a_certificate_is_told_apart() -> Result<()> {
    let stage = Stage::with(|| Omero::start_secure(Shown::Nothing))?;
    let refused = export(&stage, &["--trust", "any"])?;
    let told = process::both(&refused);
    assert_eq!(refused.status.code(), Some(69), "{told}");
    assert!(told.contains("only anonymous") && told.contains("omero certificates"), "{told}");
    Ok(())
}
