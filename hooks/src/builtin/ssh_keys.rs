//! `ssh-keys`: the mounted keys where `ssh` looks for them, with the modes that it demands.
//!
//! Rules:
//! - directories 700, files 600, `*.pub` and `known_hosts` 644, all owned by the service user. Sub-directories are
//!   kept, for `Include config.d/*` and as places for control sockets; sockets, devices and the `..data` folders by
//!   which Kubernetes swaps volumes are not.
//! - text that `ssh` would stumble over only because of where it was edited is put right and said: Windows line
//!   ends, a byte order mark, blanks around a key's lines, a last line without its end.
//! - `known_hosts` becomes the source's lines and then those that only the target has: what was learnt at run time
//!   is not forgotten. Other files that the source does not have stay as they are.
//! - a key that `ssh` would refuse is named, never shown. Start-up ends only when no key is left that could work,
//!   and no agent (`SSH_AUTH_SOCK`) that could have others.

use std::path::{Component, Path};

use self::private_key::{Material, Refusal};
use crate::context::{Context, FileFact, Need, TreeEntry};
use crate::effect::{Content, Effect, FileEffect, Owner};
use crate::hook::{Hook, HookError};

mod private_key;

/// See the module.
#[derive(Debug)]
pub struct SshKeysHook;

/// Keys are a few kilobytes; what is larger is copied and not looked into.
const LARGEST_KEY: usize = 1024 * 1024;

impl Hook for SshKeysHook {
    fn name(&self) -> &'static str {
        "ssh-keys"
    }

    fn summary(&self) -> &'static str {
        "copies the mounted SSH keys to where ssh reads them, with the modes and line ends it demands"
    }

    fn needs(&self, context: &Context<'_>) -> Vec<Need> {
        let ssh = &context.settings.ssh;
        vec![Need::Tree(ssh.source.clone()), Need::File(ssh.target.join("known_hosts"))]
    }

    fn plan(&self, context: &Context<'_>) -> Result<Vec<Effect>, HookError> {
        let ssh = &context.settings.ssh;
        let Some(entries) = context.facts.tree(&ssh.source) else {
            return Ok(vec![Effect::Notice(format!(
                "{} is not there: no SSH keys to prepare. To reach a Slurm cluster, mount a folder with the private key, config and known_hosts there",
                ssh.source.display()
            ))]);
        };
        let mut copy = Copy { context, effects: vec![directory(&ssh.target)], notices: Notices::default() };
        for entry in entries.iter().filter(|entry| is_ordinary(&entry.path)) {
            copy.entry(entry)?;
        }
        copy.finish()
    }
}

/// What is below the target whatever the source says, and not one of Kubernetes' own folders.
fn is_ordinary(path: &Path) -> bool {
    path.components().next().is_some()
        && path.components().all(|component| match component {
            Component::Normal(name) => !name.as_encoded_bytes().starts_with(b".."),
            _ => false,
        })
}

fn directory(path: &Path) -> Effect {
    Effect::Directory { path: path.to_owned(), mode: 0o700, owner: Owner::ServiceUser }
}

/// What a file is for, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    PublicKey,
    KnownHosts,
    /// Options, lists: text that is no secret.
    Configuration,
    /// A list of public keys, whose options may be nobody's business.
    AuthorizedKeys,
    /// Everything else, private keys above all.
    Other,
}

impl Kind {
    fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let below_config = path.parent().is_some_and(|parent| parent.starts_with("config.d"));
        match name {
            b"known_hosts" => Self::KnownHosts,
            b"config" => Self::Configuration,
            b"authorized_keys" | b"authorized_keys2" => Self::AuthorizedKeys,
            name if name.ends_with(b".pub") => Self::PublicKey,
            _ if below_config => Self::Configuration,
            _ => Self::Other,
        }
    }
}

/// Whether a file's name says that it is a private key.
fn is_named_as_key(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    name.starts_with("id_")
        || ["_rsa", "_ed25519", "_ecdsa", "_dsa", ".pem", ".key", ".ppk"]
            .iter()
            .any(|end| name.ends_with(end))
}

#[derive(Debug, Default)]
struct Notices {
    corrected: Vec<String>,
    skipped: Vec<String>,
    refused: Vec<String>,
    usable: usize,
}

struct Copy<'a> {
    context: &'a Context<'a>,
    effects: Vec<Effect>,
    notices: Notices,
}

impl Copy<'_> {
    fn entry(&mut self, entry: &TreeEntry) -> Result<(), HookError> {
        let ssh = &self.context.settings.ssh;
        match &entry.fact {
            FileFact::Directory { .. } => self.effects.push(directory(&ssh.target.join(&entry.path))),
            FileFact::File { content, .. } => self.file(&entry.path, content),
            FileFact::Other(kind) => self.notices.skipped.push(format!("{} ({kind})", entry.path.display())),
            FileFact::Absent => {}
            FileFact::Unreadable(reason) => {
                return Err(HookError::Input {
                    path: ssh.source.join(&entry.path),
                    reason: reason.clone(),
                    remedy: format!(
                        "let uid {uid} read it: chown {uid} it on the host (with podman, --userns=keep-id, or uid={uid} on the secret)",
                        uid = self.context.identity.uid
                    ),
                });
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, content: &[u8]) {
        let kind = Kind::of(path);
        let is_small = content.len() <= LARGEST_KEY;
        let is_key = is_small && private_key::holds_private_key(content);
        let is_text = is_key || kind != Kind::Other || (is_small && is_named_as_key(path));
        let (mut content, corrections) =
            if is_text { corrected(content, is_key) } else { (content.to_vec(), Vec::new()) };
        if !corrections.is_empty() {
            self.notices.corrected.push(format!("{} ({})", path.display(), corrections.join(", ")));
        }
        if path == Path::new("known_hosts") {
            content = self.with_learnt_hosts(content);
        }
        let mut mode = if matches!(kind, Kind::PublicKey | Kind::KnownHosts) { 0o644 } else { 0o600 };
        match kind {
            Kind::PublicKey if is_key => {
                mode = 0o600;
                self.refuse(
                    path,
                    "holds a private key under the name of a public one",
                    "name it without .pub",
                );
            }
            Kind::Other if is_small => self.examine(path, &content),
            _ => {}
        }
        let names_password =
            biomero_config::mask_urls(&String::from_utf8_lossy(&content)).as_bytes() != content;
        let is_public = matches!(kind, Kind::PublicKey | Kind::KnownHosts | Kind::Configuration);
        let content = if is_public && !is_key && !names_password {
            Content::Public(content)
        } else {
            Content::secret(content)
        };
        let path = self.context.settings.ssh.target.join(path);
        self.effects.push(Effect::File(FileEffect {
            path,
            content,
            mode,
            owner: Owner::ServiceUser,
            lock: None,
        }));
    }

    fn examine(&mut self, path: &Path, content: &[u8]) {
        match private_key::examine(content) {
            Material::Usable => self.notices.usable += 1,
            Material::Refused(Refusal { problem, remedy }) => self.refuse(path, problem, remedy),
            Material::Unknown if is_named_as_key(path) => {
                let problem = if content.is_empty() { "is empty" } else { "holds no private key" };
                self.refuse(
                    path,
                    problem,
                    "mount the private key there: a block from -----BEGIN to -----END",
                );
            }
            Material::Unknown => {}
        }
    }

    fn refuse(&mut self, path: &Path, problem: &str, remedy: &str) {
        self.notices.refused.push(format!("{} {problem} ({remedy})", path.display()));
    }

    /// The lines of the source, then those that only the target has.
    fn with_learnt_hosts(&self, mut content: Vec<u8>) -> Vec<u8> {
        let target = self.context.settings.ssh.target.join("known_hosts");
        let FileFact::File { content: learnt, .. } = self.context.facts.file(&target) else { return content };
        let given = content.clone();
        let given: std::collections::HashSet<&[u8]> =
            given.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).collect();
        let learnt = learnt.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
        for line in learnt.filter(|line| !line.is_empty() && !given.contains(line)) {
            content.extend_from_slice(line);
            content.push(b'\n');
        }
        content
    }

    fn finish(mut self) -> Result<Vec<Effect>, HookError> {
        let source = self.context.settings.ssh.source.display().to_string();
        let Notices { corrected, skipped, refused, usable } = self.notices;
        let has_agent =
            self.context.environment.get("SSH_AUTH_SOCK").is_some_and(|socket| !socket.is_empty());
        if usable == 0 && !refused.is_empty() && !has_agent {
            return Err(HookError::Invalid {
                place: source,
                problem: format!("no key that ssh could use: {}", refused.join("; ")),
                remedy: "mount one that ssh -i KEY -o BatchMode=yes HOST takes".to_owned(),
            });
        }
        let mut say = |text: String| self.effects.push(Effect::Notice(text));
        if !corrected.is_empty() {
            say(format!("{source}: put right in the copy: {}", corrected.join(", ")));
        }
        if !skipped.is_empty() {
            say(format!("{source}: not copied: {}", skipped.join(", ")));
        }
        for line in &refused {
            say(format!("{source}: ssh will not take {line}"));
        }
        if usable == 0 && refused.is_empty() && !has_agent {
            say(format!("{source}: has no private key, so ssh can only log in where none is asked for"));
        }
        Ok(self.effects)
    }
}

/// The text as `ssh` reads it, and what was changed for it.
fn corrected(content: &[u8], is_key: bool) -> (Vec<u8>, Vec<&'static str>) {
    let mut changes = Vec::new();
    let mut text = content;
    if let Some(rest) = text.strip_prefix(b"\xef\xbb\xbf") {
        changes.push("byte order mark");
        text = rest;
    }
    let mut corrected: Vec<u8> = Vec::with_capacity(text.len() + 1);
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        match line.strip_suffix(b"\r\n") {
            Some(line) => {
                corrected.extend_from_slice(line);
                corrected.push(b'\n');
            }
            None => corrected.extend_from_slice(line),
        }
    }
    // A last line that ends in \r alone: the file was cut behind it.
    if corrected.last() == Some(&b'\r') {
        corrected.pop();
    }
    if corrected.len() < text.len() {
        changes.push("Windows line ends");
    }
    if is_key {
        let lines: Vec<&[u8]> = corrected.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).collect();
        let start = lines.iter().position(|line| !line.is_empty()).unwrap_or(0);
        let trimmed = lines[start..].join(&b'\n');
        if trimmed.len() < corrected.len() {
            changes.push("blanks around lines");
            corrected = trimmed;
        }
    }
    if !corrected.is_empty() && corrected.last() != Some(&b'\n') {
        corrected.push(b'\n');
        changes.push("last line without its end");
    }
    (corrected, changes)
}

#[cfg(test)]
mod tests;
