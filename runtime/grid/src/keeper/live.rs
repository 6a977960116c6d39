//! What a script writes, line by line in the log while it runs: only so much, so that a script cannot fill it.

use std::time::Instant;

use crate::script::LiveLimits;

/// The lines of one stream.
pub(super) struct Live {
    job: i64,
    name: &'static str,
    limits: LiveLimits,
    line: Vec<u8>,
    /// Whether the rest of the line is left out.
    cut: bool,
    tokens: f64,
    counted: Instant,
    left_out: u64,
}

impl Live {
    pub(super) fn new(job: i64, name: &'static str, limits: LiveLimits) -> Self {
        let tokens = f64::from(limits.burst);
        Self { job, name, limits, line: Vec::new(), cut: false, tokens, counted: Instant::now(), left_out: 0 }
    }

    /// Takes in what was written; gives the lines that are to be shown.
    pub(super) fn lines(&mut self, mut bytes: &[u8], now: Instant) -> Vec<String> {
        let mut shown = Vec::new();
        if self.limits.lines_per_second == 0 {
            return shown;
        }
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.take(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.end_line(now, &mut shown);
        }
        self.take(bytes);
        shown
    }

    /// What is left at the end.
    pub(super) fn rest(&mut self, now: Instant) -> Vec<String> {
        let mut shown = Vec::new();
        if !self.line.is_empty() {
            self.end_line(now, &mut shown);
        }
        self.say_left_out(&mut shown);
        shown
    }

    fn take(&mut self, part: &[u8]) {
        let room = self.limits.line.saturating_sub(self.line.len());
        self.line.extend_from_slice(&part[..part.len().min(room)]);
        self.cut |= part.len() > room;
    }

    fn end_line(&mut self, now: Instant, shown: &mut Vec<String>) {
        let line = std::mem::take(&mut self.line);
        let cut = std::mem::take(&mut self.cut);
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        self.counted = now;
        let more = passed * f64::from(self.limits.lines_per_second);
        self.tokens = (self.tokens + more).min(f64::from(self.limits.burst.max(1)));
        if self.tokens < 1.0 {
            self.left_out += 1;
            return;
        }
        self.tokens -= 1.0;
        self.say_left_out(shown);
        let text = String::from_utf8_lossy(&line);
        let text: String = text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect();
        shown.push(format!(
            "job {} {}: {}{}",
            self.job,
            self.name,
            text.trim_end(),
            if cut { "…" } else { "" }
        ));
    }

    fn say_left_out(&mut self, shown: &mut Vec<String>) {
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            shown.push(format!("job {} {}: ({left_out} lines are not shown)", self.job, self.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: LiveLimits = LiveLimits { burst: 2, lines_per_second: 1, line: 8 };

    #[test]
    fn lines_are_shown_when_they_are_whole_and_cut_where_they_are_long() {
        let mut live = Live::new(7, "stdout", LIMITS);
        let now = Instant::now();
        assert!(live.lines(b"one", now).is_empty());
        assert_eq!(live.lines(b" two\n123456789", now), ["job 7 stdout: one two"]);
        assert_eq!(live.lines(b"0\n", now), ["job 7 stdout: 12345678…"]);
        assert!(live.rest(now).is_empty());
    }

    #[test]
    fn what_is_too_much_is_counted_and_said_with_the_next_line_that_is_shown() {
        let mut live = Live::new(7, "stderr", LIMITS);
        let now = Instant::now();
        assert_eq!(live.lines(b"1\n2\n3\n4\n", now).len(), 2);
        let later = live.lines(b"5\n", now + Duration::from_secs(1));
        assert_eq!(later, ["job 7 stderr: (2 lines are not shown)", "job 7 stderr: 5"]);
        assert!(live.lines(b"6\n", now + Duration::from_secs(1)).is_empty());
        assert_eq!(live.rest(now + Duration::from_secs(1)), ["job 7 stderr: (1 lines are not shown)"]);
    }

    #[test]
    fn what_is_shown_is_one_line_of_plain_text() {
        let mut live = Live::new(7, "stdout", LiveLimits { line: 99, ..LIMITS });
        let shown = live.lines(b"\x1b[31m\xff\tred\r\n", Instant::now());
        assert_eq!(shown, ["job 7 stdout:  [31m\u{fffd} red"]);
    }

    #[test]
    fn nothing_is_shown_where_that_is_wanted() {
        let mut live = Live::new(7, "stdout", LiveLimits { lines_per_second: 0, ..LIMITS });
        assert!(live.lines(b"1\n2", Instant::now()).is_empty());
        assert!(live.rest(Instant::now()).is_empty());
    }
}
