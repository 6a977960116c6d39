//! Who runs jobs where `slurm.engine` is `auto`: a cluster where somebody has given one, this machine where nobody has.
//!
//! Why not by `[SSH] host` of `slurm-config.ini`: the image names one, whether there is a cluster or not. What a site gives
//! with a cluster are keys.

use std::ffi::OsStr;
use std::path::Path;

use biomero_config::slurm_config::Slurm;
use biomero_config::{Environment, JobEngine};

use crate::configuration::Configuration;
use crate::ended::Ended;

/// What tells a cluster from none.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    /// A configuration or a key for SSH.
    ssh: bool,
    /// `sbatch` on the `PATH`, and a configuration that it finds: the program alone is installed on many a workstation.
    slurm: bool,
}

impl Found {
    const fn engine(self) -> JobEngine {
        match self {
            Self { ssh: true, .. } => JobEngine::Ssh,
            Self { slurm: true, .. } => JobEngine::Local,
            Self { .. } => JobEngine::Embedded,
        }
    }
}

/// Who runs jobs; never `auto`. Where that is this machine because nothing else was found, what `slurm-config.ini` says of
/// folders is of a cluster that is not there: they are in the worker's state.
pub(super) fn engine(configuration: &Configuration<'_>, folders: &mut Slurm) -> Result<JobEngine, Ended> {
    let settings = configuration.settings()?;
    if settings.slurm.engine != JobEngine::Auto {
        return Ok(settings.slurm.engine);
    }
    let home = configuration.home().map(|home| home.join(".ssh"));
    let path = configuration.environment().get_os("PATH");
    let found = Found {
        ssh: settings.slurm.ssh_config.is_some()
            || is_filled(&settings.ssh.target)
            || home.is_some_and(|folder| is_filled(&folder)),
        slurm: path.is_some_and(|path| has_sbatch(path)) && is_configured(configuration.environment()),
    };
    let engine = found.engine();
    if engine == JobEngine::Embedded {
        tracing::info!(
            "jobs run on this machine: there is no Slurm here, and neither a key nor a configuration for SSH in {}; slurm.engine says otherwise",
            settings.ssh.target.display()
        );
        for (name, folder) in [
            ("data", &mut folders.data_path),
            ("images", &mut folders.images_path),
            ("converters", &mut folders.converters_path),
            ("scripts", &mut folders.script_path),
        ] {
            *folder = configuration.state(name)?.display().to_string();
        }
        // A container sees the home and the folder it starts in, and no other.
        folders.data_bind_path = Some(folders.data_path.clone());
    }
    Ok(engine)
}

/// Whether SSH could get anywhere with what is in a folder: known hosts alone lead nowhere.
fn is_filled(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).any(|name| name == "config" || is_key(&name))
}

fn is_key(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("id_"))
}

fn has_sbatch(path: &OsStr) -> bool {
    std::env::split_paths(path).any(|folder| folder.join("sbatch").is_file())
}

/// As slurm.conf(5) tells: named by a variable, of the system, or fetched from the controller.
fn is_configured(environment: &Environment) -> bool {
    let usual = ["/etc/slurm/slurm.conf", "/run/slurm/conf/slurm.conf"];
    environment.get("SLURM_CONF").is_some() || usual.iter().any(|path| Path::new(path).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_that_is_given_comes_before_slurm_of_this_machine_and_that_before_none() {
        for (ssh, slurm, engine) in [
            (true, true, JobEngine::Ssh),
            (true, false, JobEngine::Ssh),
            (false, true, JobEngine::Local),
            (false, false, JobEngine::Embedded),
        ] {
            assert_eq!(Found { ssh, slurm }.engine(), engine, "ssh: {ssh}, slurm: {slurm}");
        }
    }

    #[test]
    fn keys_and_a_configuration_lead_to_a_cluster_and_known_hosts_do_not() {
        for (name, leads) in
            [("id_ed25519", true), ("id_rsa", true), ("config", true), ("known_hosts", false), ("", false)]
        {
            let folder = tempfile::tempdir().expect("a folder");
            if !name.is_empty() {
                std::fs::write(folder.path().join(name), "").expect("a file");
            }
            assert_eq!(is_filled(folder.path()), leads, "{name}");
        }
        assert!(!is_filled(Path::new("/nowhere")));
    }
}
