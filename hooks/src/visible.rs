//! Text that others wrote, on its way to a terminal or a log. What would move the cursor, change colours, turn the
//! direction of writing or not be seen at all is spelt out, as `\u{1b}`.

use std::borrow::Cow;
use std::fmt::Write as _;

/// One line: a line break is spelt out, too.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    spelt_out(text, is_hidden)
}

/// Lines, each on its own.
pub(crate) fn visible_lines(text: &str) -> Cow<'_, str> {
    spelt_out(text, |character| character != '\n' && is_hidden(character))
}

fn spelt_out(text: &str, hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&hidden) {
        return Cow::Borrowed(text);
    }
    let mut spelt = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if hidden(character) {
            let _ = write!(spelt, "{}", character.escape_unicode());
        } else {
            spelt.push(character);
        }
    }
    Cow::Owned(spelt)
}

/// Tabs stay: they do no harm, and a diff without them is hard to read.
pub(crate) fn is_hidden(character: char) -> bool {
    match character {
        '\t' => false,
        // Soft hyphen, Arabic letter mark, Mongolian vowel separator, byte order mark.
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}'
        // Without width, and the marks and embeddings of direction.
        | '\u{200b}'..='\u{200f}'
        // Line and paragraph separators among them.
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        // Interlinear annotations, and tags: ASCII that is not shown.
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => true,
        _ => character.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_or_hide_is_spelt_out() {
        for (text, shown) in [
            ("grün\tand 日本", "grün\tand 日本"),
            ("\x1b[2Jx", "\\u{1b}[2Jx"),
            ("a\rb\u{7f}\0", "a\\u{d}b\\u{7f}\\u{0}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("user\u{202e}txt.exe\u{2066}", "user\\u{202e}txt.exe\\u{2066}"),
            ("pass\u{200b}word\u{feff}", "pass\\u{200b}word\\u{feff}"),
            ("a\u{2028}b", "a\\u{2028}b"),
        ] {
            assert_eq!(visible(text), shown);
            assert_eq!(visible_lines(text), shown);
        }
        assert_eq!(visible("a\nb"), "a\\u{a}b");
        assert_eq!(visible_lines("a\n\x1bb"), "a\n\\u{1b}b");
    }
}
