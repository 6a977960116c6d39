//! The folders of a cluster that workflows need.

use std::path::PathBuf;

use biomero_config::slurm_config::BiomeroSettings;

use super::item::{Became, Item};
use super::{login, validate};
use crate::{Cluster, Command, Error};

/// Tells of each what it was and what it is: `there`, `made`, `absent`, or why it cannot be made.
const MAKE: &str = r#"mode=$1; shift
for folder do
    if [ -d "$folder" ]; then
        printf 'there\0'
    elif [ "$mode" = look ] && [ ! -e "$folder" ] && [ ! -L "$folder" ]; then
        printf 'absent\0'
    elif said=$(mkdir -p -- "$folder" 2>&1); then
        printf 'made\0'
    else
        printf '%s\0' "$said"
    fi
done"#;

/// The folders that are needed whatever is done: those of the configuration, and one for the images of each workflow.
#[must_use]
pub fn needed(settings: &BiomeroSettings) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        validate::folders(settings).into_iter().map(|(_, path)| PathBuf::from(path)).collect();
    let images = PathBuf::from(&settings.slurm.images_path);
    folders.extend(
        settings
            .workflows
            .iter()
            .map(|workflow| images.join(workflow.path.as_deref().unwrap_or(&workflow.name))),
    );
    let mut known = std::collections::HashSet::new();
    folders.retain(|folder| !folder.as_os_str().is_empty() && known.insert(folder.clone()));
    folders
}

/// Makes them, with the permissions that the user's `umask` gives: a group that shares images shares its folders too.
///
/// # Errors
/// The cluster could not be asked. What cannot be made is told as an item.
pub async fn make(cluster: &Cluster, folders: &[PathBuf], dry_run: bool) -> Result<Vec<Item>, Error> {
    let command = Command::shell(MAKE).arg(if dry_run { "look" } else { "make" }).args(folders).repeatable();
    let told = cluster.ask(&command).await?;
    let words: Vec<String> =
        told.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let items = folders.iter().enumerate().map(|(at, folder)| {
        let item = |became| Item::new("folder", folder.display().to_string(), became);
        match words.get(at).map(String::as_str) {
            Some("there") => item(Became::There),
            Some("made") => item(Became::Made),
            Some("absent") => item(Became::WouldMake),
            Some(reason) => item(Became::Failed).told(reason.trim()).remedy(format!(
                "have it made: mkdir -p {}, or correct the path in slurm-config.ini",
                login::quoted(folder)
            )),
            None => item(Became::Failed).told("the cluster told nothing about it"),
        }
    });
    Ok(items.collect())
}
