//! Giving up privileges before a component is read: it comes from a site, and a compiler is much code.

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid};

/// Whom a root-owned child becomes: the user and group that own nothing.
const NOBODY: u32 = 65_534;
/// Address space. A Python interpreter of 18 MB takes half a gigabyte.
const MEMORY: u64 = 3 << 30;
/// Seconds of processor time.
const PROCESSOR: u64 = 170;
/// Bytes of one file.
const FILE: u64 = 512 << 20;

/// No other user's rights, no new ones, no further processes, and limits on memory, time and files.
pub(crate) fn this_process() -> Result<(), Errno> {
    for (resource, limit) in [
        (Resource::RLIMIT_AS, MEMORY),
        (Resource::RLIMIT_CPU, PROCESSOR),
        (Resource::RLIMIT_FSIZE, FILE),
        (Resource::RLIMIT_CORE, 0),
    ] {
        let (_, hard) = nix::sys::resource::getrlimit(resource)?;
        let limit = limit.min(hard);
        setrlimit(resource, limit, limit)?;
    }
    nix::sys::prctl::set_no_new_privs()?;
    if Uid::effective().is_root() {
        nix::unistd::setgroups(&[])?;
        let (group, user) = (Gid::from_raw(NOBODY), Uid::from_raw(NOBODY));
        nix::unistd::setresgid(group, group, group)?;
        nix::unistd::setresuid(user, user, user)?;
    }
    setrlimit(Resource::RLIMIT_NPROC, 0, 0)
}
