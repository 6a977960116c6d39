//! Pictures of numbers: SVG without a letter in it, so that it may be as wide as there is room; what is to be read is HTML
//! around it.
//!
//! Invariant: what is drawn is also told in words, in the picture's name and in each bar's title.

use biomero_events::activity::{Outcomes, Part};
use maud::{Markup, html};
use time::OffsetDateTime;

use super::activity::{Back, Drawn, Times, quantile};
use super::words;

/// The height of a picture; its width is as many as its parts, ten each.
const HEIGHT: f64 = 100.0;
const STEP: i64 = 10;

/// Workflow runs, part by part.
pub(super) fn throughput(drawn: &Drawn, back: Back) -> Markup {
    let of = |number: i64| -> Outcomes {
        let found: Option<&Part> = drawn.activity.parts.iter().find(|part| part.number == number);
        found.map(|part| part.outcomes).unwrap_or_default()
    };
    let outcomes: Vec<Outcomes> = (0..back.parts()).map(|place| of(drawn.first + place)).collect();
    let most = outcomes.iter().map(|outcomes| outcomes.all).max().unwrap_or_default();
    let sum = |of: fn(&Outcomes) -> u64| outcomes.iter().map(of).sum::<u64>();
    let (all, done, failed) =
        (sum(|outcomes| outcomes.all), sum(|outcomes| outcomes.done), sum(|outcomes| outcomes.failed));
    let (_, part) = back.part();
    let name = format!("{all} workflows, {done} done, {failed} failed; at most {most} in {part}");
    let bars = html! {
        @for (place, outcomes) in (0..).zip(&outcomes) {
            @let top = |count: u64| HEIGHT - share(count as f64, most as f64);
            @let (done, failed) = (outcomes.done, outcomes.failed);
            g {
                title {
                    (label(drawn.first + place, back)) ": " (outcomes.all) " begun, " (done) " done, " (failed) " failed"
                }
                (column(place, "hover", 0.0, HEIGHT))
                (column(place, "open", top(outcomes.all), HEIGHT))
                (column(place, "good", top(done + failed), HEIGHT))
                (column(place, "bad", top(failed), HEIGHT))
            }
        }
    };
    html! {
        figure {
            figcaption {
                h2 { "Workflows per " (part) }
                p .legend {
                    span .key.good { (done) " done" }
                    span .key.bad { (failed) " failed" }
                    span .key.open { (all.saturating_sub(done + failed)) " under way" }
                }
            }
            (picture(&name, &bars, back.parts(), &most.to_string()))
            (axis(drawn, back))
        }
    }
}

/// How long jobs waited, or ran: the middle one, and what nine of ten do not exceed.
pub(super) fn times(drawn: &Drawn, back: Back, title: &str, of: fn(&Times) -> &Vec<f64>) -> Markup {
    let values: Vec<Option<(f64, f64, usize)>> = drawn
        .times
        .iter()
        .map(|times| {
            let sorted = of(times);
            Some((quantile(sorted, 0.5)?, quantile(sorted, 0.9)?, sorted.len()))
        })
        .collect();
    let most = values.iter().flatten().map(|(_, high, _)| *high).fold(0.0, f64::max);
    let mut all: Vec<f64> = drawn.times.iter().flat_map(|times| of(times).iter().copied()).collect();
    all.sort_by(f64::total_cmp);
    let told = |share: f64| quantile(&all, share).map_or_else(|| "—".to_owned(), words::length);
    let (middle, high) = (told(0.5), told(0.9));
    let name = format!("{title} of {} jobs: half within {middle}, nine of ten within {high}", all.len());
    let bars = html! {
        @for (place, value) in (0..).zip(&values) {
            @if let Some((middle, high, jobs)) = value {
                g {
                    title {
                        (label(drawn.first + place, back)) ": " (jobs) " jobs, half within " (words::length(*middle))
                        ", nine of ten within " (words::length(*high))
                    }
                    (column(place, "hover", 0.0, HEIGHT))
                    (column(place, "high", HEIGHT - share(*high, most), HEIGHT))
                    (column(place, "middle", HEIGHT - share(*middle, most), HEIGHT))
                }
            }
        }
    };
    html! {
        figure {
            figcaption {
                h2 { (title) }
                p .legend {
                    span .key.middle { "half within " (middle) }
                    span .key.high { "nine of ten within " (high) }
                }
            }
            @if all.is_empty() {
                p .none { "No job has told its times in this while." }
            } @else {
                (picture(&name, &bars, back.parts(), &words::length(most)))
                (axis(drawn, back))
            }
        }
    }
}

/// A bar beside a number: how much of the largest it is, and how much of it failed.
pub(super) fn bar(outcomes: Outcomes, most: u64) -> Markup {
    let width = |count: u64| share(count as f64, most as f64);
    let (done, failed) = (width(outcomes.done), width(outcomes.failed));
    html! {
        svg .bar viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
            rect .open width=(number(width(outcomes.all))) height="10" {}
            rect .good x=(number(failed)) width=(number(done)) height="10" {}
            rect .bad width=(number(failed)) height="10" {}
        }
    }
}

fn picture(name: &str, bars: &Markup, parts: i64, top: &str) -> Markup {
    let width = parts * STEP;
    html! {
        div .plot {
            span .most aria-hidden="true" { (top) }
            svg viewBox={ "0 0 " (width) " 100" } preserveAspectRatio="none" role="img" aria-label=(name) {
                line .grid x1="0" x2=(width) y1="0.5" y2="0.5" {}
                line .grid x1="0" x2=(width) y1="50" y2="50" {}
                (bars)
                line .base x1="0" x2=(width) y1="99.5" y2="99.5" {}
            }
        }
    }
}

/// A bar from a height down to another.
fn column(place: i64, class: &str, top: f64, bottom: f64) -> Markup {
    let height = bottom - top;
    html! {
        @if height > 0.0 {
            rect class=(class) x=(place * STEP + 1) width=(STEP - 2) y=(number(top)) height=(number(height)) {}
        }
    }
}

fn axis(drawn: &Drawn, back: Back) -> Markup {
    let last = back.parts() - 1;
    html! {
        div .axis aria-hidden="true" {
            @for place in [0, last / 2, last] { span { (tick(drawn.first + place, back)) } }
        }
    }
}

/// When a part begins, in as few letters as tell it apart from the others that are told.
fn tick(number: i64, back: Back) -> String {
    let label = label(number, back);
    match (back, label.split_once(',')) {
        (Back::Week, Some((day, _))) => day.to_owned(),
        _ => label,
    }
}

/// When a part begins.
fn label(number: i64, back: Back) -> String {
    let (part, _) = back.part();
    let moment = OffsetDateTime::from_unix_timestamp(number.saturating_mul(i64::from(part)));
    let moment = moment.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let month = moment.month().to_string();
    let day = format!("{} {}", moment.day(), month.get(..3).unwrap_or_default());
    match back {
        Back::Day => format!("{:02}:00 UTC", moment.hour()),
        Back::Week => format!("{day}, {:02}:00 UTC", moment.hour()),
        Back::Month | Back::Year => day,
    }
}

/// The part of the height, or of the width, that a value has of the largest.
fn share(value: f64, most: f64) -> f64 {
    if most > 0.0 { (value / most * HEIGHT).clamp(0.0, HEIGHT) } else { 0.0 }
}

fn number(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use biomero_events::activity::Activity;

    use super::*;

    fn drawn() -> Drawn {
        let outcomes = Outcomes { all: 8, done: 5, failed: 2 };
        let parts = vec![Part { number: 1_003, outcomes }];
        let mut times = vec![Times::default(); 24];
        times[3] = Times { queued: vec![1.0, 2.0, 60.0], ran: Vec::new() };
        Drawn { first: 1_000, activity: Activity { parts, ..Activity::default() }, times }
    }

    #[test]
    fn bars_are_as_high_as_their_numbers_and_told_in_words() {
        let svg = throughput(&drawn(), Back::Day).into_string();
        assert!(svg.contains(r#"aria-label="8 workflows, 5 done, 2 failed; at most 8 in hour""#), "{svg}");
        assert!(svg.contains(r#"<rect class="open" x="31" width="8" y="0.0" height="100.0">"#), "{svg}");
        assert!(svg.contains(r#"<rect class="good" x="31" width="8" y="12.5" height="87.5">"#), "{svg}");
        assert!(svg.contains(r#"<rect class="bad" x="31" width="8" y="75.0" height="25.0">"#), "{svg}");
    }

    #[test]
    fn times_are_those_of_the_middle_and_of_nine_in_ten() {
        let svg = times(&drawn(), Back::Day, "Waiting", |times| &times.queued).into_string();
        assert!(svg.contains("Waiting of 3 jobs: half within 2 s, nine of ten within 1 min 0 s"), "{svg}");
        let none = times(&drawn(), Back::Day, "Running", |times| &times.ran).into_string();
        assert!(none.contains("No job has told") && !none.contains("<svg"), "{none}");
    }

    #[test]
    fn no_number_draws_outside_of_the_picture() {
        for (value, most) in [(0.0, 0.0), (5.0, 0.0), (9.0, 3.0), (-1.0, 3.0), (f64::NAN, 3.0)] {
            let share = share(value, most);
            assert!(share.is_nan() || (0.0..=HEIGHT).contains(&share), "{value} of {most}: {share}");
        }
    }
}
