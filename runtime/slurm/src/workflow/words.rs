//! Words as a shell reads them: quotes go, nothing is expanded.
//!
//! Python puts options of `slurm-config.ini` on a command line as they are, so that a site that means `a100|h100` has to write
//! `"a100|h100"`. Here no shell reads them: what it would have taken away is taken away here.

/// The words of a text; `None` where a quote does not end.
pub(super) fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '\'' => break,
                        other => word.push(other),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '"' => break,
                        '\\' => match letters.next()? {
                            escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                            other => word.extend(['\\', other]),
                        },
                        other => word.push(other),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(letters.next()?),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

/// A word that a shell reads as this text, whatever it contains. Plain ones stay as they are.
pub(super) fn quote(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quotes_go_and_nothing_is_expanded() {
        for (text, words) in [
            ("gpu:1g.10gb:1", Some(vec!["gpu:1g.10gb:1"])),
            ("\"a100|h100\"", Some(vec!["a100|h100"])),
            ("'a b'c\\ d", Some(vec!["a bc d"])),
            ("1 --exclusive  --x='y'", Some(vec!["1", "--exclusive", "--x=y"])),
            ("\"$(x)\" `y`", Some(vec!["$(x)", "`y`"])),
            ("\"a\\\"b\\c\"", Some(vec!["a\"b\\c"])),
            ("''", Some(vec![""])),
            ("", Some(vec![])),
            ("\"open", None),
        ] {
            let words: Option<Vec<String>> =
                words.map(|words| words.into_iter().map(str::to_owned).collect());
            assert_eq!(split(text), words, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_one_word_again(text in ".*") {
            prop_assert_eq!(split(&quote(&text)), Some(vec![text]));
        }

        #[test]
        fn any_text_is_read_without_harm(text in ".*") {
            let _ = split(&text);
        }
    }
}
