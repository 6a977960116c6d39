//! A log's bytes become lines, as a terminal would show them.

/// How long a line may be, in bytes; a longer one is told in pieces.
pub const LONGEST: usize = 64 << 10;

/// Collects bytes until lines are whole. What a carriage return has drawn over is gone; bytes that are no UTF-8 are shown
/// as U+FFFD. Everything else is as the job wrote it: whoever shows it makes it harmless.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    line: Vec<u8>,
    /// A carriage return came, and nothing behind it yet.
    returned: bool,
}

impl Lines {
    /// The next bytes; the lines that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' => {
                    self.returned = false;
                    lines.push(self.take());
                }
                b'\r' => self.returned = true,
                byte => {
                    if std::mem::take(&mut self.returned) {
                        self.line.clear();
                    }
                    if self.line.len() >= LONGEST && byte & 0xc0 != 0x80 {
                        lines.push(self.take());
                    }
                    self.line.push(*byte);
                    // Bytes that only continue something, without end, are no text.
                    if self.line.len() >= LONGEST + 8 {
                        lines.push(self.take());
                    }
                }
            }
        }
        lines
    }

    /// The line that has no end, at the end of the log.
    pub fn finish(&mut self) -> Option<String> {
        self.returned = false;
        (!self.line.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_as_a_terminal_shows_them() {
        let mut lines = Lines::default();
        assert_eq!(lines.push("one\r\ntw".as_bytes()), ["one"]);
        assert_eq!(lines.push(" 10%\r 20%\r\n".as_bytes()), [" 20%"]);
        assert_eq!(lines.push(b"\xc3"), Vec::<String>::new(), "half a letter");
        assert_eq!(lines.push(b"\xbc\nlast"), ["ü"]);
        assert_eq!(lines.finish().as_deref(), Some("last"));
        assert_eq!(lines.finish(), None);
    }

    #[test]
    fn a_line_without_end_comes_in_pieces() {
        let mut lines = Lines::default();
        let text = "ü".repeat(LONGEST);
        let mut told = lines.push(text.as_bytes());
        told.extend(lines.finish());
        assert_eq!(told.concat(), text);
        assert!(told.iter().all(|line| line.len() <= LONGEST + 8));
    }

    proptest! {
        #[test]
        fn where_the_log_is_cut_makes_no_difference(log in "[aü\r\n]{0,60}", cut in 0_usize..120) {
            let bytes = log.as_bytes();
            let cut = cut.min(bytes.len());
            let (mut whole, mut parts) = (Lines::default(), Lines::default());
            let mut expected = whole.push(bytes);
            expected.extend(whole.finish());
            let mut told = parts.push(&bytes[..cut]);
            told.extend(parts.push(&bytes[cut..]));
            told.extend(parts.finish());
            prop_assert_eq!(told, expected);
        }
    }
}
