//! `processor events project`: a service beside Python workers that only record, so that the views follow what they record.

use tokio::signal::unix::{SignalKind, signal};

use super::Opened;
use crate::ended::Ended;
use crate::exit_code;
use crate::output::Answer;

/// Projects what others record, until it is stopped.
pub(super) async fn run(opened: &Opened, answer: &mut Answer) -> Result<u8, Ended> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Ended::System)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Ended::System)?;
    let projecting = async {
        let mut follower = opened.log.follow(opened.told(opened.log.standing().await).await?.projected);
        loop {
            let projected = opened.told(opened.log.catch_up().await).await?;
            tracing::debug!("projected {projected} events");
            opened.told(follower.next().await).await?;
        }
    };
    answer.line(format!("keeping the views of {} up to date until it is stopped", opened.log.place()))?;
    answer.flush()?;
    tokio::select! {
        ended = projecting => ended,
        _ = interrupt.recv() => Ok(exit_code::SUCCESS),
        _ = terminate.recv() => Ok(exit_code::SUCCESS),
    }
}
