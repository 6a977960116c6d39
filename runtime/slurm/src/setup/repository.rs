//! Job scripts that come from a Git repository (`slurm_script_repo`).

use super::end_of;
use super::item::{Became, Item};
use super::login::quoted;
use crate::{Cluster, Command, Error, Status};

use std::path::Path;
use std::time::Duration;

/// What runs on the cluster.
const REPOSITORY: &str = include_str!("repository.sh");

/// For a clone over a slow network.
const DEADLINE: Duration = Duration::from_secs(600);

/// Makes the folder of scripts what the repository's branch says. A user and password in its URL are never told.
///
/// # Errors
/// The cluster could not be asked. What Git refuses is told as an item.
pub async fn update(cluster: &Cluster, repository: &str, folder: &str, dry_run: bool) -> Result<Item, Error> {
    let command = Command::shell(REPOSITORY)
        .args([repository, folder, if dry_run { "look" } else { "make" }])
        .deadline(DEADLINE);
    let output = cluster.run(&command).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    Ok(item(repository, folder, output.status, &String::from_utf8_lossy(&output.stdout), said.trim()))
}

fn item(repository: &str, folder: &str, status: Status, told: &str, said: &str) -> Item {
    let shown = without_password(repository);
    let typed = quoted(Path::new(folder));
    let become_ = |became| Item::new("repository", folder, became);
    let mut fields = told.split('\0');
    let mut next = || fields.next().unwrap_or_default();
    let (word, before, after, saved) = (next(), next(), next(), next());
    let short = |commit: &str| commit.chars().take(12).collect::<String>();
    let and_saved = |told: String| if saved.is_empty() { told } else { format!("{told}; {saved}") };
    match (status, word) {
        (Status::Exited(0), "clones") => become_(Became::WouldMake).told(format!("a clone of {shown}")),
        (Status::Exited(0), "cloned") => become_(Became::Made).told(format!("{shown} at {}", short(after))),
        (Status::Exited(0), "fetches") => {
            let told = format!("{shown} at {}", short(before));
            let told = if saved.is_empty() {
                told
            } else {
                format!("{told}; changed by hand, to be put aside: {}", end_of(saved, 300))
            };
            become_(Became::WouldChange).told(told)
        }
        (Status::Exited(0), "same") if saved.is_empty() => {
            become_(Became::There).told(format!("{shown} at {}", short(after)))
        }
        (Status::Exited(0), "same") => {
            become_(Became::Changed).told(and_saved(format!("{shown} at {}", short(after))))
        }
        (Status::Exited(0), "moved") => become_(Became::Changed).told(and_saved(format!(
            "{shown} from {} to {}",
            short(before),
            short(after)
        ))),
        (Status::Exited(65), _) => become_(Became::Failed)
            .told(format!("it has content and is no clone of {shown}; it is left alone"))
            .remedy(format!("move it away: mv {typed} {typed}.before; then `processor slurm init` again")),
        (Status::Exited(66), _) => become_(Became::Failed)
            .told(format!(
                "it is a clone of {}, and slurm_script_repo is {shown}; it is left alone",
                without_password(said)
            ))
            .remedy(format!("git -C {typed} remote set-url origin {}", quoted(Path::new(&shown)))),
        _ => {
            let said = said.replace(repository, &shown);
            become_(Became::Failed)
                .told(format!("Git: {}", end_of(&said, 1000)))
                .remedy(format!("on the cluster: git ls-remote {}", quoted(Path::new(&shown))))
        }
    }
}

/// The URL without what stands before the `@` of its host, where that may be a password.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        // The user of ssh is part of the address.
        Some((user, _)) if scheme == "ssh" && !user.contains(':') => url.to_owned(),
        Some((_, host)) => format!("{scheme}://***@{host}{path}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_the_url_is_in_no_message() {
        let url = "https://bot:ghp_secret@example.org/lab/scripts.git";
        let said = format!("fatal: unable to access '{url}/': 403");
        for (status, told) in [(0, "cloned\0\0abc\0\0"), (65, ""), (66, ""), (69, "")] {
            let item = item(url, "slurm-scripts", Status::Exited(status), told, &said);
            let text = format!("{item:?}");
            assert!(!text.contains("ghp_secret"), "{text}");
            assert!(text.contains("***@example.org"), "{text}");
        }
        assert_eq!(without_password("ssh://git@example.org/x"), "ssh://git@example.org/x");
        assert_eq!(without_password("git@example.org:x"), "git@example.org:x");
    }

    #[test]
    fn what_was_put_aside_is_told() {
        let item = item("/r", "s", Status::Exited(0), "same\0aa\0aa\0a stash\0", "");
        assert_eq!((item.became, item.told.as_deref()), (Became::Changed, Some("/r at aa; a stash")));
    }
}
