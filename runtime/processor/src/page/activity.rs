//! What the overview draws, asked of the database once for all who look within a few seconds.
//!
//! Invariant: for each window one asks at a time, and what is kept is one answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use biomero_events::activity::{Activity, Window};
use biomero_events::query::Whose;
use biomero_events::{Error, EventLog};
use serde::Deserialize;
use time::OffsetDateTime;
use tokio::sync::Mutex;

/// How long an answer counts.
const COUNTS: Duration = Duration::from_secs(3);
/// How many jobs are looked at for how long they waited and ran.
const JOBS: u32 = 5_000;

/// How far back is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Back {
    /// 24 hours, by the hour.
    Day,
    /// Seven days, by six hours.
    #[default]
    Week,
    /// Thirty days, by the day.
    Month,
    /// A year, by the week.
    Year,
}

impl Back {
    pub(super) const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::Year];

    /// As the address of the page has it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// As people read it.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Day => "Day",
            Self::Week => "Week",
            Self::Month => "Month",
            Self::Year => "Year",
        }
    }

    /// The length of a part in seconds, and what it is called.
    pub(super) const fn part(self) -> (u32, &'static str) {
        match self {
            Self::Day => (3_600, "hour"),
            Self::Week => (6 * 3_600, "six hours"),
            Self::Month => (86_400, "day"),
            Self::Year => (7 * 86_400, "week"),
        }
    }

    /// How many parts there are.
    pub(super) const fn parts(self) -> i64 {
        match self {
            Self::Day => 24,
            Self::Week => 28,
            Self::Month => 30,
            Self::Year => 52,
        }
    }
}

/// How long jobs waited and ran that were submitted in a part, in seconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Times {
    pub(super) queued: Vec<f64>,
    pub(super) ran: Vec<f64>,
}

/// All that is drawn.
#[derive(Debug, PartialEq)]
pub(super) struct Drawn {
    /// The number of the first part.
    pub(super) first: i64,
    pub(super) activity: Activity,
    /// Of each part, sorted.
    pub(super) times: Vec<Times>,
}

/// An answer, and when it came.
type Answered = (Instant, Arc<Drawn>);

/// The last answers.
#[derive(Debug, Default)]
pub(super) struct Recent([Mutex<Option<Answered>>; 4]);

impl Recent {
    /// What happened; asked anew once the last answer is old.
    pub(super) async fn drawn(&self, log: &EventLog, back: Back) -> Result<Arc<Drawn>, Error> {
        let mut kept = self.0[back as usize].lock().await;
        if let Some((at, drawn)) = &*kept
            && at.elapsed() < COUNTS
        {
            return Ok(Arc::clone(drawn));
        }
        let drawn = Arc::new(asked(log, back, OffsetDateTime::now_utc()).await?);
        *kept = Some((Instant::now(), Arc::clone(&drawn)));
        Ok(drawn)
    }
}

async fn asked(log: &EventLog, back: Back, now: OffsetDateTime) -> Result<Drawn, Error> {
    let (part, _) = back.part();
    let first = now.unix_timestamp() / i64::from(part) - back.parts() + 1;
    let since = OffsetDateTime::from_unix_timestamp(first * i64::from(part)).unwrap_or(now);
    let activity = log.activity(Window { since, part }).await?;
    let mut times = vec![Times::default(); usize::try_from(back.parts()).unwrap_or_default()];
    for job in log.job_usage(Whose::default(), JOBS).await? {
        let number = job.submitted.unix_timestamp() / i64::from(part) - first;
        let Some(times) = usize::try_from(number).ok().and_then(|number| times.get_mut(number)) else {
            continue;
        };
        if let Some(started) = job.started {
            times.queued.push((started - job.submitted).as_seconds_f64().max(0.0));
            if let Some(ended) = job.ended {
                times.ran.push((ended - started).as_seconds_f64().max(0.0));
            }
        }
    }
    for Times { queued, ran } in &mut times {
        queued.sort_by(f64::total_cmp);
        ran.sort_by(f64::total_cmp);
    }
    Ok(Drawn { first, activity, times })
}

/// The value that a share of the sorted values is not above; none where there are none.
pub(super) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get(((last as f64) * share).round() as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_there_are() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[7.0], 0.9), Some(7.0));
        let values: Vec<f64> = (0..=10).map(f64::from).collect();
        assert_eq!(quantile(&values, 0.5), Some(5.0));
        assert_eq!(quantile(&values, 0.9), Some(9.0));
    }
}
