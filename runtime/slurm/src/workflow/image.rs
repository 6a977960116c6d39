//! The image of a workflow: what a registry calls it, which version is wanted, what its file is called.

use std::fmt;

/// An image as a registry names it: `org/name`, `ghcr.io/org/name:v1.2`, `org/name@sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Without tag and digest.
    pub repository: String,
    /// The tag, if it names one.
    pub tag: Option<String>,
    /// The digest, if it names one.
    pub digest: Option<String>,
}

impl Image {
    /// Takes an image's name apart. A colon before the last slash is that of a port.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let name = name.strip_prefix("docker://").unwrap_or(name);
        let (rest, digest) = match name.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_owned())),
            None => (name, None),
        };
        let last = rest.rfind('/').map_or(0, |at| at + 1);
        let (repository, tag) = match rest.get(last..).and_then(|last| last.rfind(':')).map(|at| at + last) {
            Some(at) => (&rest[..at], rest.get(at + 1..).filter(|tag| !tag.is_empty())),
            None => (rest, None),
        };
        Self { repository: repository.to_owned(), tag: tag.map(str::to_owned), digest }
    }

    /// Its last name, without where it comes from.
    #[must_use]
    pub fn base(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or_default()
    }

    /// The file that it is kept in, as Python and `apptainer pull` name it: `name_version.sif`.
    #[must_use]
    pub fn file(&self, version: &str) -> String {
        format!("{}_{version}.sif", self.base())
    }

    /// The version that is wanted: the image's own tag, or else what the workflow's repository is fixed to; `master` and
    /// nothing are `latest`.
    #[must_use]
    pub fn version(&self, repository: Option<&str>) -> String {
        if let Some(tag) = &self.tag {
            return tag.clone();
        }
        match repository.and_then(reference) {
            None | Some("master") => "latest".to_owned(),
            Some(reference) => reference.to_owned(),
        }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(formatter, "@{digest}")?;
        }
        Ok(())
    }
}

/// What a repository's link is fixed to: `v1.2` of `https://github.com/org/name/tree/v1.2`, or below `blob`.
#[must_use]
pub fn reference(url: &str) -> Option<&str> {
    let parts: Vec<&str> = url.split('/').collect();
    let at = parts.iter().position(|part| matches!(*part, "tree" | "blob"))?;
    parts.get(at + 1).copied().filter(|reference| !reference.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_images_tag_or_what_the_repository_is_fixed_to() {
        for (image, repository, version, file) in [
            (
                "torecluik/t_cp",
                Some("https://github.com/TorecLuik/W_CP/tree/v1.2.9"),
                "v1.2.9",
                "t_cp_v1.2.9.sif",
            ),
            ("torecluik/t_cp", Some("https://github.com/TorecLuik/W_CP"), "latest", "t_cp_latest.sif"),
            (
                "torecluik/t_cp",
                Some("https://github.com/TorecLuik/W_CP/tree/master"),
                "latest",
                "t_cp_latest.sif",
            ),
            ("torecluik/t_cp", Some("https://github.com/TorecLuik/W_CP/tree/main"), "main", "t_cp_main.sif"),
            ("torecluik/t_cp", Some("https://github.com/a/b/blob/v2/config.yaml"), "v2", "t_cp_v2.sif"),
            ("torecluik/t_cp", None, "latest", "t_cp_latest.sif"),
            ("org/name:3.1", Some("https://github.com/a/b/tree/v2"), "3.1", "name_3.1.sif"),
            ("localhost:5000/org/name", None, "latest", "name_latest.sif"),
            ("docker://ghcr.io/org/name:v1@sha256:ab", None, "v1", "name_v1.sif"),
            ("name:", None, "latest", "name_latest.sif"),
        ] {
            let read = Image::of(image);
            assert_eq!(read.version(repository), version, "{image} {repository:?}");
            assert_eq!(read.file(version), file, "{image}");
        }
        assert_eq!(Image::of("localhost:5000/o/n:1@sha256:ab").to_string(), "localhost:5000/o/n:1@sha256:ab");
    }
}
