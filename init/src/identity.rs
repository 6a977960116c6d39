//! Who `init` is, and who its services will be.

use std::fs;
use std::path::{Path, PathBuf};

use biomero_config::{Environment, Settings};
use biomero_hooks::Identity;
use nix::unistd::{Uid, User};

/// The service user could not be told.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no user \"{name}\" here: set user.name to a name of /etc/passwd or to a number, or start the container as the user that services run as"
)]
pub(crate) struct UnknownUser {
    name: String,
}

/// As root, services run as `user.name`; as an ordinary user, as that user.
pub(crate) fn identify(
    settings: &Settings,
    environment: &Environment,
    root: &Path,
) -> Result<Identity, UnknownUser> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    if !uid.is_root() {
        let user = User::from_uid(uid).ok().flatten();
        let home = environment.get("HOME").map(PathBuf::from);
        return Ok(Identity {
            uid: uid.as_raw(),
            gid: gid.as_raw(),
            service_uid: uid.as_raw(),
            service_gid: gid.as_raw(),
            service_name: user.as_ref().map_or_else(|| uid.to_string(), |user| user.name.clone()),
            // An arbitrary uid (`--user 12345`) has no entry: the image's home is the one that is meant.
            service_home: user.map(|user| user.dir).or(home).unwrap_or_else(|| "/opt/omero/server".into()),
        });
    }
    let Some(service) = look_up(&settings.user.name, root) else {
        // Below a root, on a laptop, the container's user need not exist: root's own will do to see a plan.
        if root != Path::new("/") {
            return Ok(Identity { service_home: "/opt/omero/server".into(), ..Identity::of_this_process() });
        }
        return Err(UnknownUser { name: settings.user.name.clone() });
    };
    Ok(Identity {
        uid: uid.as_raw(),
        gid: gid.as_raw(),
        service_uid: service.uid,
        service_gid: service.gid,
        service_name: service.name,
        service_home: service.home,
    })
}

struct Service {
    name: String,
    uid: u32,
    gid: u32,
    home: PathBuf,
}

fn look_up(name: &str, root: &Path) -> Option<Service> {
    if root != Path::new("/") {
        let passwd = fs::read_to_string(root.join("etc/passwd")).unwrap_or_default();
        return in_passwd(name, &passwd).or_else(|| by_number(name));
    }
    let user = User::from_name(name)
        .ok()
        .flatten()
        .or_else(|| name.parse().ok().and_then(|uid| User::from_uid(Uid::from_raw(uid)).ok().flatten()));
    user.map(|user| Service {
        name: user.name,
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        home: user.dir,
    })
    .or_else(|| by_number(name))
}

/// A number without an entry is a user all the same; its group is that of the same number.
fn by_number(name: &str) -> Option<Service> {
    let uid = name.parse().ok()?;
    Some(Service { name: name.to_owned(), uid, gid: uid, home: "/opt/omero/server".into() })
}

/// One entry of passwd(5): `name:password:uid:gid:comment:home:shell`.
fn in_passwd(name: &str, passwd: &str) -> Option<Service> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [login, _, uid, gid, _, home, ..] = fields.as_slice() else { return None };
        (*login == name || *uid == name).then_some(())?;
        Some(Service {
            name: (*login).to_owned(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            home: home.into(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_below_a_root_by_name_and_by_number() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nbroken\nomero-server:x:1000:1001::/opt/omero/server:/bin/bash\n";
        for name in ["omero-server", "1000"] {
            let user = in_passwd(name, passwd).unwrap();
            assert_eq!((user.uid, user.gid, user.name.as_str()), (1000, 1001, "omero-server"));
        }
        assert!(in_passwd("nobody", passwd).is_none());
    }
}
