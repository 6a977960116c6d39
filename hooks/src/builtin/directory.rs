//! Directories that services write in.

use std::path::Path;

use crate::context::{Context, FileFact};
use crate::effect::{Effect, Owner};
use crate::hook::HookError;

/// What it takes for `path` to be a directory that the service user can write in: nothing where it is one already,
/// so that the mode of a mounted volume stays as its owner set it.
pub(super) fn writable(context: &Context<'_>, path: &Path, mode: u32) -> Result<Option<Effect>, HookError> {
    let create = || Some(Effect::Directory { path: path.to_owned(), mode, owner: Owner::ServiceUser });
    let invalid = |problem: String, remedy: String| {
        Err(HookError::Invalid { place: path.display().to_string(), problem, remedy })
    };
    let service = context.identity.service_uid;
    match context.facts.file(path) {
        FileFact::Absent => Ok(create()),
        FileFact::Directory { writable: true, .. } => Ok(None),
        FileFact::Directory { uid, .. } if context.identity.uid == 0 || *uid == service => Ok(create()),
        FileFact::Directory { uid, mode, .. } => invalid(
            format!("belongs to uid {uid} with mode {mode:o}, and uid {service} cannot write in it"),
            format!(
                "type: chown {service} {} (for a volume, on the host), or start the container as root",
                path.display()
            ),
        ),
        FileFact::File { .. } => {
            invalid("is a file where a directory must be".to_owned(), "move it away".to_owned())
        }
        FileFact::Other(kind) => {
            invalid(format!("is a {kind} where a directory must be"), "move it away".to_owned())
        }
        FileFact::Unreadable(reason) => Err(HookError::Input {
            path: path.to_owned(),
            reason: reason.clone(),
            remedy: format!("make it and the directories above it accessible to uid {service}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use biomero_config::{Environment, Settings};

    use super::*;
    use crate::context::{Facts, Identity};

    fn needed(fact: FileFact, uid: u32) -> Result<bool, String> {
        let (settings, environment) = (Settings::shipped(), Environment::default());
        let identity = Identity {
            uid,
            gid: uid,
            service_uid: 1000,
            service_gid: 1000,
            service_name: "omero-server".to_owned(),
            service_home: "/home".into(),
        };
        let facts = Facts::default().with_file("/var/log", fact);
        let context = Context { settings: &settings, environment: &environment, identity: &identity, facts };
        writable(&context, Path::new("/var/log"), 0o755)
            .map(|effect| effect.is_some())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_directory_is_changed_only_when_services_could_not_write_in_it() {
        let directory = |uid, writable| FileFact::Directory { mode: 0o755, uid, writable };
        for (fact, init, changed) in [
            (FileFact::Absent, 1000, true),
            (directory(1000, true), 1000, false),
            (directory(0, true), 1000, false),
            (directory(1000, false), 1000, true),
            (directory(0, false), 0, true),
        ] {
            assert_eq!(needed(fact.clone(), init), Ok(changed), "{fact:?} as {init}");
        }
    }

    #[test]
    fn what_cannot_be_put_right_is_said_with_what_to_type() {
        insta::assert_snapshot!(needed(FileFact::Directory { mode: 0o755, uid: 1001, writable: false }, 1000).unwrap_err(), @"/var/log: belongs to uid 1001 with mode 755, and uid 1000 cannot write in it; type: chown 1000 /var/log (for a volume, on the host), or start the container as root");
        insta::assert_snapshot!(needed(FileFact::file("x"), 1000).unwrap_err(), @"/var/log: is a file where a directory must be; move it away");
        insta::assert_snapshot!(needed(FileFact::Other("socket"), 1000).unwrap_err(), @"/var/log: is a socket where a directory must be; move it away");
        insta::assert_snapshot!(needed(FileFact::Unreadable("permission denied".into()), 1000).unwrap_err(), @"cannot read /var/log: permission denied; make it and the directories above it accessible to uid 1000");
    }
}
