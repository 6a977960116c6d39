//! The hooks that `init` brings: each a pure function with a table of tests beside it.
//!
//! Their order:
//!
//! | number | hook | why there |
//! |---|---|---|
//! | 5 | `virtual-environment` | everything after it finds OMERO's programs |
//! | 10 | `ssh-keys` | the number of the script it replaces |
//! | 20 | `omero-temp` | before the first program of OMERO's runs and opens a temporary directory |
//! | 30 | `slurm-config` | independent of OMERO |
//! | 49 | `omero-load` | files first, so that a variable wins over them, as the script does it |
//! | 50 | `omero-properties` | the number of the script it replaces |
//! | 60 | `processor` | independent of the others, and before what may take long |
//! | 80 | `wait` | what may take long comes after what can fail at once |
//! | 90 | `icegrid-node` | after the wait, so that a name resolves to the address of now |
//! | 91 | `ice-config` | reads the ports and the master's name from what `omero-properties` wrote |

mod directory;
#[cfg(test)]
mod fixture;
mod host;
mod ice_config;
mod icegrid_node;
mod omero_load;
mod omero_properties;
mod omero_temp;
mod processor;
mod secrecy;
mod slurm_config;
mod ssh_keys;
mod template;
mod virtual_environment;
mod wait;

pub use ice_config::IceConfigHook;
pub use icegrid_node::IcegridNodeHook;
pub use omero_load::OmeroLoadHook;
pub use omero_properties::OmeroPropertiesHook;
pub use omero_temp::OmeroTempHook;
pub use processor::ProcessorHook;
pub use slurm_config::{SlurmConfigHook, read_slurm_config};
pub use ssh_keys::SshKeysHook;
pub use virtual_environment::VirtualEnvironmentHook;
pub use wait::WaitHook;

use crate::hook::Hook;

/// All built-in hooks with their numbers, in order.
pub fn all() -> Vec<(u16, Box<dyn Hook>)> {
    vec![
        (5, Box::new(VirtualEnvironmentHook)),
        (10, Box::new(SshKeysHook)),
        (20, Box::new(OmeroTempHook)),
        (30, Box::new(SlurmConfigHook)),
        (49, Box::new(OmeroLoadHook)),
        (50, Box::new(OmeroPropertiesHook)),
        (60, Box::new(ProcessorHook)),
        (80, Box::new(WaitHook)),
        (90, Box::new(IcegridNodeHook)),
        (91, Box::new(IceConfigHook)),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use biomero_config::Settings;

    use super::*;

    #[test]
    fn hooks_have_names_of_their_own_and_stand_in_the_order_of_their_numbers() {
        let hooks = all();
        assert!(hooks.is_sorted_by_key(|(number, _)| *number));
        let names: BTreeSet<String> = hooks.iter().map(|(_, hook)| hook.name().to_owned()).collect();
        assert_eq!(names.len(), hooks.len());
        for name in &names {
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{name}");
        }
    }

    #[test]
    fn every_script_that_is_replaced_is_replaced_by_a_hook_that_exists() {
        let names: BTreeSet<String> = all().iter().map(|(_, hook)| hook.name().to_owned()).collect();
        for (script, by) in Settings::shipped().startup.replaced {
            assert!(names.contains(&by) || by.contains(' '), "{script} is replaced by {by}");
        }
    }

    #[test]
    fn the_table_above_names_every_hook_with_its_number() {
        let module = include_str!("mod.rs");
        for (number, hook) in all() {
            assert!(module.contains(&format!("//! | {number} | `{}` |", hook.name())), "{}", hook.name());
        }
    }
}
