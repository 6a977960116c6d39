//! `processor events follow`: what `pull_and_process(start=1)` was meant to be, and what a listener of one's own starts with.

use biomero_events::Follower;
use tokio::signal::unix::{SignalKind, signal};

use super::Opened;
use super::row::{Row, columns};
use super::select::is_of;
use crate::ended::Ended;
use crate::exit_code;
use crate::output::Answer;

/// How many of the last ids are looked at first where nothing else is said, as `tail -f` does.
const LAST: i64 = 10;

/// From where on, and what.
pub(super) struct Asked<'a> {
    pub(super) from: Option<i64>,
    pub(super) new: bool,
    pub(super) topics: &'a [String],
    /// Whether the views are brought up to date.
    pub(super) project: bool,
}

/// Shows events as they come, until it is interrupted.
pub(super) async fn run(opened: &Opened, asked: Asked<'_>, answer: &mut Answer) -> Result<u8, Ended> {
    // Before the first answer, so that whoever has seen one may interrupt.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Ended::System)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Ended::System)?;
    let shown = async {
        let after = match (asked.from, asked.new) {
            (Some(from), _) => from.saturating_sub(1),
            (None, true) => last_id(opened).await?,
            (None, false) => last_id(opened).await?.saturating_sub(LAST).max(0),
        };
        let mut follower = opened.log.follow(after);
        if !answer.is_json() {
            columns().write_head(answer)?;
            answer.flush()?;
        }
        loop {
            if asked.project {
                opened.told(opened.log.catch_up().await).await?;
            }
            show_next(opened, &mut follower, asked.topics, answer).await?;
        }
    };
    tokio::select! {
        ended = shown => ended,
        _ = interrupt.recv() => Ok(exit_code::SUCCESS),
        _ = terminate.recv() => Ok(exit_code::SUCCESS),
    }
}

async fn show_next(
    opened: &Opened,
    follower: &mut Follower<'_>,
    topics: &[String],
    answer: &mut Answer,
) -> Result<(), Ended> {
    let rows = opened.told(follower.next().await).await?;
    let table = columns();
    for notification in rows.into_iter().filter(|row| is_of(row, topics)) {
        let row = Row::from(notification);
        if answer.is_json() {
            answer.object(row.object())?;
        } else {
            table.write_row(&row.cells(), answer)?;
        }
    }
    answer.flush()
}

async fn last_id(opened: &Opened) -> Result<i64, Ended> {
    opened.told(opened.log.last_id().await).await
}
