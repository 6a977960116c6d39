//! The text format of Prometheus, version 0.0.4: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::fmt::Write as _;

/// What it is served as.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The ends of the parts of a histogram, in seconds: a step takes a second or a day.
pub(super) const BOUNDS: [f64; 10] =
    [1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0];

/// What a family is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// It only grows.
    Counter,
    /// It comes and goes.
    Gauge,
    /// How many were how long.
    Histogram,
}

/// How many were how long.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Histogram {
    counts: [u64; BOUNDS.len() + 1],
    sum: f64,
}

impl Histogram {
    /// One that took so long.
    pub(super) fn observe(&mut self, seconds: f64) {
        let part = BOUNDS.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get_mut(part) {
            *count += 1;
        }
        self.sum += seconds;
    }
}

/// Families and their samples.
#[derive(Debug, Default)]
pub(super) struct Exposition(String);

impl Exposition {
    /// Begins a family: each name once, its samples behind it.
    pub(super) fn family<'a>(&'a mut self, name: &'a str, help: &str, kind: Kind) -> Family<'a> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // A string takes all that is written.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Family { text: &mut self.0, name }
    }

    /// All of it.
    pub(super) fn text(self) -> String {
        self.0
    }
}

/// A family whose samples are being told.
#[derive(Debug)]
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'a str,
}

impl Family<'_> {
    /// One sample.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.line("", labels, None, value);
    }

    /// A histogram, its parts added up as the format has them.
    pub(super) fn histogram(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut all = 0;
        for (part, count) in histogram.counts.iter().enumerate() {
            all += count;
            let bound = BOUNDS.get(part).map_or_else(|| "+Inf".to_owned(), f64::to_string);
            self.line("_bucket", labels, Some(&bound), all as f64);
        }
        self.line("_sum", labels, None, histogram.sum);
        self.line("_count", labels, None, all as f64);
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<&str>, value: f64) {
        let labels = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        let labels: Vec<String> =
            labels.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "{}{suffix}{labels} {value}", self.name);
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_told_once_and_its_samples_behind_it() {
        let mut told = Exposition::default();
        let mut family = told.family("biomero_service_restarts_total", "How often.", Kind::Counter);
        family.sample(&[("service", "node")], 0.0);
        family.sample(&[("service", "a \"b\"\\c\nd")], 12.0);
        assert_eq!(
            told.text(),
            "# HELP biomero_service_restarts_total How often.\n\
             # TYPE biomero_service_restarts_total counter\n\
             biomero_service_restarts_total{service=\"node\"} 0\n\
             biomero_service_restarts_total{service=\"a \\\"b\\\"\\\\c\\nd\"} 12\n"
        );
    }

    #[test]
    fn the_parts_of_a_histogram_add_up() {
        let mut histogram = Histogram::default();
        for seconds in [0.2, 1.0, 1.1, 100_000.0] {
            histogram.observe(seconds);
        }
        let mut told = Exposition::default();
        told.family("took_seconds", "How long.", Kind::Histogram).histogram(&[("step", "run")], &histogram);
        let text = told.text();
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(lines.len(), BOUNDS.len() + 3, "{text}");
        assert_eq!(lines[0], "took_seconds_bucket{step=\"run\",le=\"1\"} 2");
        assert_eq!(lines[1], "took_seconds_bucket{step=\"run\",le=\"5\"} 3");
        assert_eq!(lines[BOUNDS.len() - 1], "took_seconds_bucket{step=\"run\",le=\"86400\"} 3");
        assert_eq!(lines[BOUNDS.len()], "took_seconds_bucket{step=\"run\",le=\"+Inf\"} 4");
        assert_eq!(lines[BOUNDS.len() + 1], "took_seconds_sum{step=\"run\"} 100002.3");
        assert_eq!(lines[BOUNDS.len() + 2], "took_seconds_count{step=\"run\"} 4");
    }
}
