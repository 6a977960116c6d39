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
mod secrecy;
mod ssh_keys;
mod template;
mod virtual_environment;
mod wait;

pub use ice_config::IceConfigHook;
pub use icegrid_node::IcegridNodeHook;
pub use omero_load::OmeroLoadHook;
pub use omero_properties::OmeroPropertiesHook;
pub use omero_temp::OmeroTempHook;
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
        (49, Box::new(OmeroLoadHook)),
        (50, Box::new(OmeroPropertiesHook)),
        (80, Box::new(WaitHook)),
        (90, Box::new(IcegridNodeHook)),
        (91, Box::new(IceConfigHook)),
    ]
}
