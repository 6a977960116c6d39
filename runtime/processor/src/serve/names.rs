//! What staged images are called: each its own name, and the same one each time that they are staged.

use std::collections::BTreeSet;

use biomero_convert::open::stem;

/// As many bytes of a name as leave room for what is put behind it.
const LONGEST: usize = 150;

/// The names that are taken.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// For a file or folder; the second of a name is `name_2`.
    pub(super) fn path(&mut self, name: &str) -> String {
        self.free(name, |count| format!("{name}_{}", count + 1))
    }

    /// For an image of OMERO, which may be called anything, or nothing; the second of a name is `name_(1)`, as OMERO's own
    /// export calls it, and as results are known for those of the second.
    pub(super) fn omero(&mut self, name: &str, otherwise: &str) -> String {
        let plain: String = name
            .chars()
            .map(|letter| if letter == '/' || letter.is_control() { '_' } else { letter })
            .collect();
        let plain = stem(plain.trim().trim_start_matches('.').as_ref());
        let mut plain = plain.to_string_lossy().into_owned();
        if let Some(end) = (0..=LONGEST).rev().find(|end| plain.is_char_boundary(*end)) {
            plain.truncate(end);
        }
        let plain = if plain.is_empty() { otherwise.to_owned() } else { plain };
        self.free(&plain, |count| format!("{plain}_({count})"))
    }

    fn free(&mut self, name: &str, again: impl Fn(usize) -> String) -> String {
        let mut names = (0..).map(|count| if count == 0 { name.to_owned() } else { again(count) });
        // They are endless, and what is taken is not.
        names.find(|name| self.0.insert(name.clone())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_images_and_no_two_are_alike() {
        let mut names = Names::default();
        assert_eq!([names.path("cells"), names.path("cells")], ["cells", "cells_2"]);
        let mut names = Names::default();
        for (name, called) in [
            ("cells.ome.tiff", "cells"),
            ("cells.tif", "cells_(1)"),
            ("cells", "cells_(2)"),
            ("slide [1].svs", "slide [1].svs"),
            ("../../etc/passwd", "_.._etc_passwd"),
            (".hidden", "hidden"),
            ("a\nb\u{1b}", "a_b_"),
            ("", "image_7"),
            (" / ", "_"),
        ] {
            assert_eq!(names.omero(name, "image_7"), called, "{name:?}");
        }
        assert_eq!(names.omero(&"ä".repeat(500), "image_7").len(), LONGEST);
    }
}
