//! Which images and data a cluster has.

use std::collections::BTreeMap;

use biomero_config::slurm_config::BiomeroSettings;

use super::newest_first;
use crate::{Cluster, Command, Error};

/// Tells the plain names of files in each folder with one of two endings, and an empty name after each folder.
const LIST: &str = r#"for folder do
    find -L "$folder" -maxdepth 1 -type f ! -name '.*' \( -name '*.sif' -o -name '*.simg' -o -name '*.zip' \) -printf '%f\0' 2>/dev/null
    printf '\0'
done"#;

/// What is there, found by its names, as Python's BIOMERO names it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Installed {
    /// The versions of each workflow's image, the newest first.
    pub workflows: BTreeMap<String, Vec<String>>,
    /// The versions of each converter, the newest first.
    pub converters: BTreeMap<String, Vec<String>>,
    /// Packed data, by name without `.zip`, in the order of the alphabet.
    pub data: Vec<String>,
}

/// Looks, in one round trip.
///
/// # Errors
/// The cluster could not be asked. A folder that is missing is an empty one.
pub async fn installed(cluster: &Cluster, settings: &BiomeroSettings) -> Result<Installed, Error> {
    let slurm = &settings.slurm;
    let workflows = settings.workflows.iter().map(|workflow| {
        format!("{}/{}", slurm.images_path, workflow.path.as_deref().unwrap_or(&workflow.name))
    });
    let command =
        Command::shell(LIST).args([&slurm.converters_path, &slurm.data_path]).args(workflows).repeatable();
    let told = cluster.ask(&command).await?;
    let names: Vec<&str> = settings.workflows.iter().map(|workflow| workflow.name.as_str()).collect();
    Ok(read(&told, &names))
}

fn read(told: &[u8], workflows: &[&str]) -> Installed {
    let mut folders: Vec<Vec<String>> = vec![Vec::new()];
    for name in told.split(|byte| *byte == 0) {
        match folders.last_mut() {
            // A name that is no text is none of ours.
            Some(folder) if !name.is_empty() => folder.extend(String::from_utf8(name.to_vec())),
            _ => folders.push(Vec::new()),
        }
    }
    let mut folders = folders.into_iter();
    let mut next = || folders.next().unwrap_or_default();
    let mut installed = Installed::default();
    for (name, version) in next().iter().filter_map(|file| image(file)?.rsplit_once('_')) {
        if name.starts_with("convert_") {
            installed.converters.entry(name.to_owned()).or_default().push(version.to_owned());
        }
    }
    installed.data = next().iter().filter_map(|file| file.strip_suffix(".zip")).map(str::to_owned).collect();
    installed.data.sort();
    for workflow in workflows {
        let versions = next().iter().filter_map(|file| version(image(file)?)).map(str::to_owned).collect();
        installed.workflows.insert((*workflow).to_owned(), versions);
    }
    for versions in installed.workflows.values_mut().chain(installed.converters.values_mut()) {
        newest_first(versions);
        versions.dedup();
    }
    installed
}

fn image(file: &str) -> Option<&str> {
    file.strip_suffix(".sif").or_else(|| file.strip_suffix(".simg"))
}

/// The version in `image_version`. A tag may hold `_` too: it begins where a `v` and a digit do, else behind the last `_`.
fn version(name: &str) -> Option<&str> {
    let begins = |(at, _): &(usize, &str)| {
        let mut rest = name.get(at + 1..).unwrap_or_default().chars();
        rest.next() == Some('v') && rest.next().is_some_and(|letter| letter.is_ascii_digit())
    };
    if let Some((at, _)) = name.match_indices(['_', '-']).find(begins) {
        return name.get(at + 1..);
    }
    let (_, version) =
        name.rsplit_once('_').or_else(|| name.strip_suffix("-latest").map(|_| ("", "latest")))?;
    Some(version).filter(|version| !version.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_those_that_python_lists_in_an_order_that_people_mean() {
        let told = b"convert_zarr_to_tiff_1.14.0.sif\0convert_zarr_to_tiff_latest.sif\0other.sif\0\0b.zip\0a b.zip\0\0w_v1.9.sif\0w_v1.10.simg\0w_latest.sif\0w_2024.1.sif\0\0\0";
        let installed = read(told, &["w", "empty"]);
        assert_eq!(installed.workflows["w"], ["2024.1", "v1.10", "v1.9", "latest"]);
        assert!(installed.workflows["empty"].is_empty());
        assert_eq!(installed.converters["convert_zarr_to_tiff"], ["1.14.0", "latest"]);
        assert_eq!(installed.data, ["a b", "b"]);
    }

    #[test]
    fn the_version_is_found_behind_whatever_the_image_is_called() {
        let table = [
            ("w_nuclei-cellpose_v1.2.7", Some("v1.2.7")),
            ("w-v2_final", Some("v2_final")),
            ("w_my_very_best_v1", Some("v1")),
            ("w_1.0", Some("1.0")),
            ("w-latest", Some("latest")),
            ("w", None),
            ("w_", None),
        ];
        for (name, expected) in table {
            assert_eq!(version(name), expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_listing_can_be_read(told in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(read(&told, &["a", "b"]).workflows.len(), 2);
        }
    }
}
