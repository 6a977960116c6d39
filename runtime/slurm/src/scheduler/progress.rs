//! How far a job is, by the bars and counts that its programs draw into their log.
//!
//! Understood are percentages (`37%|███▋ | 37/100 [00:12<00:20]` of tqdm, `Segmenting: 37.5 %`), and on lines without one
//! counts (`[37/100]`, `image 37 of 100`) and fractions (`progress: 0.37`). Percentages of something else (`GPU
//! utilisation: 95%`) are told by the word before them.
//!
//! Invariants: a bar never goes backwards; memory is bounded, whatever the log is; where the log is cut into pieces makes no
//! difference.

use std::collections::VecDeque;

/// How many bytes of a line are looked at.
const LONGEST_LINE: usize = 4096;

/// How many bars are remembered.
const MOST_BARS: usize = 16;

/// After how many lines and redrawings a bar that is not drawn any more is taken to be abandoned.
const ABANDONED: u64 = 50;

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Whole percents, 0 to 100.
    pub percent: u8,
    /// What is counted and how many there are, where it is said.
    pub count: Option<(u64, u64)>,
    /// What stands before it: `Segmenting`. As the job wrote it.
    pub label: String,
    /// Which bar of the log, from 0: another one may begin at nothing.
    pub bar: u64,
}

impl Reading {
    /// As Python records it: `37%`.
    #[must_use]
    pub fn python(&self) -> String {
        format!("{}%", self.percent)
    }
}

/// Reads a log as it grows.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    line: Vec<u8>,
    escape: Escape,
    bars: VecDeque<Bar>,
    begun: u64,
    lines: u64,
}

/// Where in an escape sequence of a terminal we are (ECMA-48).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    No,
    /// Behind ESC.
    Begun,
    /// In a control sequence, which a letter ends.
    Control,
    /// In a title or the like, which BEL or ESC `\` ends.
    Text,
}

#[derive(Debug, Clone)]
struct Bar {
    /// The label with each number made the same.
    key: String,
    reading: Reading,
    /// Tenths of percents.
    tenths: u32,
    drawn: u64,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq)]
struct Said<'a> {
    label: &'a str,
    /// 0 to 1.
    fraction: f64,
    count: Option<(u64, u64)>,
}

impl Progress {
    /// The next bytes of the log; how far the job is by now.
    pub fn push(&mut self, bytes: &[u8]) -> Option<Reading> {
        for byte in bytes {
            self.byte(*byte);
        }
        // A bar that is drawn in place has no end of line: a percentage that stands there is complete.
        self.look(false);
        self.reading()
    }

    /// The log began anew: the job was put back into the queue.
    pub fn restart(&mut self) {
        let begun = self.begun;
        *self = Self { begun, ..Self::default() };
    }

    /// How far it is.
    #[must_use]
    pub fn reading(&self) -> Option<Reading> {
        let is_live = |bar: &&Bar| bar.tenths < 1000 && bar.drawn + ABANDONED > self.lines;
        // Of bars within bars, the outer one was drawn first.
        let bar = self.bars.iter().find(is_live).or_else(|| self.bars.iter().max_by_key(|bar| bar.drawn));
        bar.map(|bar| bar.reading.clone())
    }

    fn byte(&mut self, byte: u8) {
        match (self.escape, byte) {
            (Escape::No, 0x1b) => self.escape = Escape::Begun,
            (Escape::No, b'\n' | b'\r' | 0x08) => self.end_line(),
            (Escape::No, _) => {
                if self.line.len() < LONGEST_LINE {
                    self.line.push(byte);
                }
            }
            (Escape::Begun, b'[') => self.escape = Escape::Control,
            (Escape::Begun, b']') => self.escape = Escape::Text,
            (Escape::Begun, _) => self.escape = Escape::No,
            (Escape::Control, 0x40..=0x7e) => {
                self.escape = Escape::No;
                // The cursor moves, or a line is cleared: what follows is drawn anew.
                if matches!(byte, b'A'..=b'H' | b'J' | b'K') {
                    self.end_line();
                }
            }
            (Escape::Text, 0x07) => self.escape = Escape::No,
            (Escape::Text, 0x1b) => self.escape = Escape::Begun,
            // One that never ends, of a file that is no text: the line ends is all that is sure.
            (Escape::Control | Escape::Text, b'\n') => {
                self.escape = Escape::No;
                self.end_line();
            }
            (Escape::Control | Escape::Text, _) => {}
        }
    }

    fn end_line(&mut self) {
        if !self.line.is_empty() {
            self.look(true);
            self.lines += 1;
            self.line.clear();
        }
    }

    fn look(&mut self, complete: bool) {
        let line = String::from_utf8_lossy(&self.line).into_owned();
        let Some(said) = percentage(&line, complete).or_else(|| if complete { counted(&line) } else { None })
        else {
            return;
        };
        let key: String =
            said.label.chars().map(|letter| if letter.is_ascii_digit() { '#' } else { letter }).collect();
        let tenths = tenths(said.fraction);
        let place = self.bars.iter().rposition(|bar| bar.key == key);
        if let Some(bar) = place.and_then(|place| self.bars.get_mut(place)) {
            if tenths >= bar.tenths {
                bar.tenths = tenths;
                bar.drawn = self.lines;
                bar.reading.percent = percent(tenths);
                bar.reading.count = said.count.or(bar.reading.count);
                said.label.clone_into(&mut bar.reading.label);
                return;
            }
            // It never goes back. It is another one, with the same words, where this one is over or it begins at nothing.
            if bar.tenths < 1000 && tenths > 0 {
                bar.drawn = self.lines;
                return;
            }
        }
        if let Some(place) = place {
            self.bars.remove(place);
        } else if self.bars.len() == MOST_BARS {
            self.bars.pop_front();
        }
        let reading = Reading {
            percent: percent(tenths),
            count: said.count,
            label: said.label.to_owned(),
            bar: self.begun,
        };
        self.begun += 1;
        self.bars.push_back(Bar { key, reading, tenths, drawn: self.lines });
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 1000 after the clamp"
)]
fn tenths(fraction: f64) -> u32 {
    (fraction.clamp(0.0, 1.0) * 1000.0 + 1e-6) as u32
}

fn percent(tenths: u32) -> u8 {
    u8::try_from(tenths / 10).unwrap_or(100)
}

/// Words before a number that is no progress.
const NO_PROGRESS: &[&str] = &[
    "cpu",
    "gpu",
    "mem",
    "memory",
    "ram",
    "vram",
    "swap",
    "disk",
    "usage",
    "used",
    "free",
    "load",
    "util",
    "utilisation",
    "utilization",
    "accuracy",
    "acc",
    "precision",
    "recall",
    "confidence",
    "dice",
    "iou",
    "overlap",
    "quality",
    "threshold",
    "loss",
    "error",
    "percentile",
    "saturation",
];

/// The first percentage of a line. On one that is not complete, a count at its end may be still being written.
fn percentage(line: &str, complete: bool) -> Option<Said<'_>> {
    let mut from = 0;
    while let Some(at) = line.get(from..)?.find('%').map(|at| at + from) {
        from = at + 1;
        let before = line.get(..at)?.trim_end_matches(' ');
        let start = number_start(before);
        let Some(fraction) = before.get(start..).and_then(|text| text.parse::<f64>().ok()) else { continue };
        let label = before.get(..start)?;
        if fraction > 100.0 || at - before.len() > 1 || sticks(label) || is_no_progress(label) {
            continue;
        }
        let rest = line.get(from..)?;
        let written =
            if complete { rest } else { rest.trim_end_matches(|letter: char| letter.is_ascii_digit()) };
        let count = count_in(written).map(|(_, done, total)| (done, total));
        return Some(Said { label: shown(label), fraction: fraction / 100.0, count });
    }
    None
}

/// A count or a fraction, on a line that is complete.
fn counted(line: &str) -> Option<Said<'_>> {
    if let Some((at, done, total)) = count_in(line) {
        let label = line.get(..at)?;
        // Only where it cannot be a date or a ratio: in brackets, at the beginning, or behind a word that is counted.
        let opened = label.trim_end().ends_with(['[', '(']);
        let named = label
            .trim_end_matches([' ', ':', '#', '='])
            .rsplit(|letter: char| !letter.is_alphabetic())
            .next();
        let named = named.is_some_and(|word| COUNTED.contains(&word.to_lowercase().as_str()));
        if (opened || named || label.trim().is_empty()) && !is_no_progress(label) {
            #[expect(clippy::cast_precision_loss, reason = "a percentage of it is shown")]
            let fraction = done as f64 / total as f64;
            return Some(Said { label: shown(label), fraction, count: Some((done, total)) });
        }
    }
    let at = line.to_ascii_lowercase().rfind("progress")?;
    let rest = line.get(at + "progress".len()..)?.trim_start_matches([' ', ':', '=', '"', '\'']);
    let number = rest.split(|letter: char| !(letter.is_ascii_digit() || letter == '.')).next()?;
    let fraction: f64 = number.contains('.').then(|| number.parse().ok()).flatten()?;
    ((0.0..=1.0).contains(&fraction)).then(|| Said {
        label: shown(line.get(..at).unwrap_or_default()),
        fraction,
        count: None,
    })
}

/// Words that stand before a count.
const COUNTED: &[&str] = &[
    "batch",
    "block",
    "cell",
    "channel",
    "chunk",
    "done",
    "epoch",
    "file",
    "files",
    "finished",
    "frame",
    "image",
    "images",
    "iter",
    "iteration",
    "job",
    "object",
    "plane",
    "processed",
    "processing",
    "progress",
    "sample",
    "series",
    "slice",
    "stack",
    "step",
    "task",
    "tile",
    "timepoint",
    "volume",
    "well",
    "completed",
];

/// `37/100` or `37 of 100`: where it begins, and both numbers.
fn count_in(text: &str) -> Option<(usize, u64, u64)> {
    for (separator, wide) in [("/", false), (" of ", true)] {
        let mut from = 0;
        while let Some(at) = text.get(from..)?.find(separator).map(|at| at + from) {
            from = at + separator.len();
            let (before, after) = (text.get(..at)?, text.get(from..)?);
            let (before, after) =
                if wide { (before, after) } else { (before.trim_end(), after.trim_start()) };
            let start = before.len() - before.bytes().rev().take_while(u8::is_ascii_digit).count();
            let digits = after.bytes().take_while(u8::is_ascii_digit).count();
            let numbers = (before.get(start..)?.parse::<u64>(), after.get(..digits)?.parse::<u64>());
            let (Ok(done), Ok(total)) = numbers else { continue };
            let next = after.get(digits..).and_then(|rest| rest.chars().next());
            let stands_alone = !next
                .is_some_and(|letter| letter.is_alphanumeric() || matches!(letter, '/' | '-' | '_' | '.'));
            if done <= total && total > 1 && stands_alone && !sticks(before.get(..start)?) {
                return Some((start, done, total));
            }
        }
    }
    None
}

/// Where the decimal number at the end of a text begins.
fn number_start(text: &str) -> usize {
    text.len() - text.bytes().rev().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count()
}

/// Whether a number behind this text is a part of a word, a path or a date.
fn sticks(label: &str) -> bool {
    label.chars().next_back().is_some_and(|letter| {
        letter.is_alphanumeric() || matches!(letter, '/' | '-' | '_' | '.' | '+' | '<' | '>')
    })
}

fn is_no_progress(label: &str) -> bool {
    let words = label.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.rev().take(2).any(|word| NO_PROGRESS.contains(&word.to_lowercase().as_str()))
}

fn shown(label: &str) -> &str {
    let label = label.trim().trim_end_matches(['[', '(', '|', ':', '=', '#', '-', ' ']);
    let end = (0..=200.min(label.len())).rev().find(|at| label.is_char_boundary(*at)).unwrap_or_default();
    label.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Percent, count and label.
    type Read = (u8, Option<(u64, u64)>, String);

    fn read(log: &str) -> Option<Read> {
        let reading = Progress::default().push(log.as_bytes())?;
        Some((reading.percent, reading.count, reading.label))
    }

    #[test]
    fn bars_and_counts_of_many_programs_are_understood() {
        for (log, percent, count, label) in [
            (
                "  0%|          | 0/100 [00:00<?, ?it/s]\r 37%|███▋      | 37/100 [00:12<00:20,  3.1it/s]",
                37,
                Some((37, 100)),
                "",
            ),
            ("Segmenting:  37%|###7      | 37/100 [00:12<00:20]", 37, Some((37, 100)), "Segmenting"),
            ("processing 37%\n", 37, None, "processing"),
            ("processing 37.9 %\n", 37, None, "processing"),
            ("Working ━━━━━━━━ 100% 0:00:01\n", 100, None, "Working ━━━━━━━━"),
            ("\u{1b}[32mmasks\u{1b}[0m: \u{1b}[1m42%\u{1b}[0m done\r", 42, None, "masks"),
            ("[3/10] tile_003.tif\n", 30, Some((3, 10)), ""),
            ("Image 3 of 10\n", 30, Some((3, 10)), "Image"),
            ("Epoch 5/20: loss 0.3\n", 25, Some((5, 20)), "Epoch"),
            ("Epoch 5/20:  40%|####", 40, None, "Epoch 5/20"),
            ("Progress: 0.42\n", 42, None, ""),
            ("GPU utilisation: 95%, segmented: 12%\n", 12, None, "GPU utilisation: 95%, segmented"),
            ("12%\nall is well\nno number here\n", 12, None, ""),
        ] {
            assert_eq!(read(log), Some((percent, count, label.to_owned())), "{log:?}");
        }
    }

    #[test]
    fn numbers_that_are_no_progress_are_left_alone() {
        for log in [
            "",
            "done\n",
            "11/25/2026 12:30\n",
            "ratio 3/4 of the signal\n",
            "/data/3/10/image.tif\n",
            "GPU utilisation: 95%\n",
            "memory usage 43%\n",
            "accuracy = 93.5%\n",
            "120%\n",
            "v1.37%\n",
            "37/1\n",
            "Epoch 7/5\n",
            "Progress: 42\n",
            "using 37/10",
            "%%%\n",
        ] {
            assert_eq!(read(log), None, "{log:?}");
        }
    }

    #[test]
    fn a_count_that_is_still_being_written_is_not_taken() {
        let mut progress = Progress::default();
        assert_eq!(progress.push(b"[7/10"), None);
        assert_eq!(progress.push(b"0]\n").map(|reading| reading.percent), Some(7));
        let mut progress = Progress::default();
        let count = |reading: Option<Reading>| reading.and_then(|reading| reading.count);
        assert_eq!(count(progress.push(b"part: 7% 7/10")), None);
        assert_eq!(count(progress.push(b"0 done")), Some((7, 100)));
    }

    #[test]
    fn a_bar_never_goes_back_but_the_next_one_begins_at_nothing() {
        let mut progress = Progress::default();
        let told = |progress: &mut Progress, log: &str| {
            progress.push(log.as_bytes()).map(|reading| (reading.percent, reading.bar))
        };
        assert_eq!(told(&mut progress, "part: 50%\r"), Some((50, 0)));
        assert_eq!(told(&mut progress, "part: 40%\r"), Some((50, 0)), "not back");
        assert_eq!(told(&mut progress, "part: 100%\n"), Some((100, 0)));
        assert_eq!(told(&mut progress, "part: 5%\r"), Some((5, 1)), "the next one");
        assert_eq!(told(&mut progress, "part: 0%\r"), Some((0, 2)), "and one that begins again");
        progress.restart();
        assert_eq!(told(&mut progress, "part: 1%\r"), Some((1, 3)));
    }

    #[test]
    fn of_bars_within_bars_the_outer_one_counts() {
        let mut progress = Progress::default();
        let mut last = 0;
        for image in 0..4 {
            progress.push(format!("images: {}%\n", image * 25).as_bytes());
            for tile in 0..=10 {
                let reading = progress.push(format!("tiles: {}%\r", tile * 10).as_bytes()).expect("a bar");
                assert!(reading.label == "images" && reading.percent >= last, "{reading:?}");
                last = reading.percent;
            }
        }
    }

    proptest! {
        #[test]
        fn where_the_log_is_cut_makes_no_difference(
            log in "([a-c]{0,3}: ?[0-9]{1,3}%|[0-9]{1,2}/[0-9]{1,3}|\\[[0-9]/9\\]|\u{1b}\\[[0-9]?[mKA]|█|\r|\n| ){0,30}",
            cuts in proptest::collection::vec(0_usize..300, 0..6),
        ) {
            let bytes = log.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let (mut whole, mut parts) = (Progress::default(), Progress::default());
            let expected = whole.push(bytes);
            let mut from = 0;
            for cut in cuts {
                parts.push(&bytes[from..cut]);
                from = cut;
            }
            prop_assert_eq!(parts.push(&bytes[from..]), expected);
        }

        #[test]
        fn no_log_is_too_odd_and_no_bar_goes_back(log in proptest::collection::vec(any::<u8>(), 0..3000), step in 1_usize..64) {
            let mut progress = Progress::default();
            let mut highest = std::collections::BTreeMap::new();
            for piece in log.chunks(step) {
                if let Some(reading) = progress.push(piece) {
                    prop_assert!(reading.percent <= 100);
                    let highest = highest.entry(reading.bar).or_insert(0);
                    prop_assert!(reading.percent >= *highest);
                    *highest = reading.percent;
                }
            }
            prop_assert!(progress.line.len() <= LONGEST_LINE && progress.bars.len() <= MOST_BARS);
        }

        #[test]
        fn a_drawn_bar_never_goes_back(values in proptest::collection::vec((0_u32..=100, "[ab]"), 0..200)) {
            let mut progress = Progress::default();
            let mut highest = std::collections::BTreeMap::new();
            for (value, label) in values {
                if let Some(reading) = progress.push(format!("{label}: {value}%\r").as_bytes()) {
                    let highest = highest.entry(reading.bar).or_insert(0);
                    prop_assert!(reading.percent >= *highest);
                    *highest = reading.percent;
                }
            }
        }
    }
}
