//! Gathering the facts that a hook declared a need for: the only reading that is done on a hook's behalf.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use biomero_config::{AddressFamily, Settings};

use crate::context::{Address, Facts, Identity, Need};
use crate::disk::TREE_LIMIT;
use crate::machine::{Machine, MachineError};
use crate::overlay::Overlay;

/// How names are resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// A name that does not resolve by then is an error.
    Required(Duration),
    /// A name that does not resolve by then is unknown: a dry run away from the container's network. All names
    /// together get [`NAMES`] times that.
    Optional(Duration),
}

/// Names that a dry run waits for in full.
const NAMES: u32 = 5;

/// A need that could not be met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatherError {
    /// A name without an address.
    #[error(
        "cannot resolve {host}: {source}; check that the name is right and that its container runs, or set wait.resolve"
    )]
    Resolve {
        /// The name.
        host: String,
        /// Why.
        source: MachineError,
    },
    /// A name without an address of the wanted family.
    #[error("{host} has no {family} address, only {found}; set wait.family")]
    Family {
        /// The name.
        host: String,
        /// The wanted family.
        family: &'static str,
        /// The addresses it has.
        found: String,
    },
    /// A directory that cannot be read.
    #[error("cannot read the directory {path}: {reason}")]
    Directory {
        /// The directory.
        path: String,
        /// Why.
        reason: String,
    },
    /// More than a hook may be told.
    #[error("the files that it asks for have more than {} MiB together; leave out what is no configuration", TREE_LIMIT >> 20)]
    TooMuch,
    /// A stop signal.
    #[error("interrupted by SIG{0}")]
    Interrupted(String),
}

/// Gathers all needs.
///
/// # Errors
/// The first need that could not be met.
pub(crate) fn gather(
    needs: &[Need],
    overlay: &Overlay,
    identity: &Identity,
    settings: &Settings,
    resolution: Resolution,
    machine: &mut dyn Machine,
) -> Result<Facts, GatherError> {
    let mut facts = Facts::default();
    let (Resolution::Required(all) | Resolution::Optional(all)) = resolution;
    let names_until = Instant::now() + all.saturating_mul(NAMES);
    for need in needs {
        if facts.content_bytes() > TREE_LIMIT {
            return Err(GatherError::TooMuch);
        }
        facts = match need {
            Need::Address(host) => {
                let resolution = match resolution {
                    Resolution::Optional(each) => {
                        Resolution::Optional(each.min(names_until.saturating_duration_since(Instant::now())))
                    }
                    required => required,
                };
                facts.with_address(host, resolve(host, settings.wait.family, resolution, machine)?)
            }
            Need::File(path) => facts.with_file(path, overlay.fact(path, identity)),
            Need::Tree(path) => match overlay.tree(path, identity) {
                Ok(Some(entries)) => facts.with_tree(path, entries),
                Ok(None) => facts,
                Err(reason) => {
                    return Err(GatherError::Directory { path: path.display().to_string(), reason });
                }
            },
            Need::Matching { directory, prefix, suffix } => {
                match overlay.matching(directory, prefix, suffix, identity) {
                    Ok(entries) => facts.with_matching(directory, prefix, suffix, entries),
                    Err(reason) => {
                        return Err(GatherError::Directory { path: directory.display().to_string(), reason });
                    }
                }
            }
            Need::Names { directory, suffix } => match overlay.names(directory, suffix) {
                Ok(names) => facts.with_names(directory, names),
                Err(error) => {
                    let path = directory.display().to_string();
                    return Err(GatherError::Directory { path, reason: error.to_string() });
                }
            },
        };
    }
    Ok(facts)
}

fn resolve(
    host: &str,
    family: AddressFamily,
    resolution: Resolution,
    machine: &mut dyn Machine,
) -> Result<Address, GatherError> {
    let (Resolution::Required(deadline) | Resolution::Optional(deadline)) = resolution;
    let found = match machine.resolve(host, deadline) {
        Ok(found) => found,
        Err(MachineError::Interrupted(signal)) => return Err(GatherError::Interrupted(signal)),
        Err(_) if matches!(resolution, Resolution::Optional(_)) => return Ok(Address::Unknown),
        Err(source) => return Err(GatherError::Resolve { host: host.to_owned(), source }),
    };
    let wanted: (&str, fn(&IpAddr) -> bool) = match family {
        AddressFamily::Any => ("", |_| true),
        AddressFamily::Ipv4 => ("IPv4", IpAddr::is_ipv4),
        AddressFamily::Ipv6 => ("IPv6", IpAddr::is_ipv6),
    };
    found.iter().copied().find(wanted.1).map(Address::Known).ok_or_else(|| GatherError::Family {
        host: host.to_owned(),
        family: wanted.0,
        found: found.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", "),
    })
}
