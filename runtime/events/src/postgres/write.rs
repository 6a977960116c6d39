//! Writing what an append has come to: events, the commands they came from, and what they do to the views.
//!
//! Few events are one statement. Of many, the log takes the most: they are on their way into it while the rules are applied.

use futures_util::future::join;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::Store;
use super::project::{self, Columns};
use super::session::Session;
use super::sql::WRITTEN;
use crate::plan::Placed;
use crate::projection::{Key, Rows, State};

/// How many events are many: from here on a second statement costs less than the rules.
const MANY: usize = 50;

/// One value after the other, as a statement takes them.
type Parameters<'a> = Vec<&'a (dyn ToSql + Sync)>;

/// Writes it all, if there is anything; `projected` applies the rules.
pub(super) async fn write(
    store: &Store,
    session: &Session,
    (placed, encoded): (&[Placed<'_>], &[Vec<u8>]),
    new: &[(Uuid, i64, i64)],
    projected: impl FnOnce() -> (Vec<(Key, State)>, Rows),
) -> Result<(), tokio_postgres::Error> {
    let Some(last) = placed.last().map(|event| event.at.id) else { return Ok(()) };
    let ids: Vec<i64> = placed.iter().map(|event| event.at.id).collect();
    let originators: Vec<Uuid> = placed.iter().map(|event| event.at.originator_id).collect();
    let versions: Vec<i64> = placed.iter().map(|event| event.at.originator_version).collect();
    let topics: Vec<&str> = placed.iter().map(|event| event.event.fact.topic()).collect();
    let encoded: Vec<&[u8]> =
        placed.iter().filter_map(|event| encoded.get(event.draft)).map(Vec::as_slice).collect();
    let commands: Vec<Uuid> = new.iter().map(|(id, ..)| *id).collect();
    let firsts: Vec<i64> = new.iter().map(|(_, first, _)| *first).collect();
    let lasts: Vec<i64> = new.iter().map(|(.., last)| *last).collect();
    let mut log: Parameters<'_> =
        vec![&ids, &originators, &versions, &topics, &encoded, &commands, &firsts, &lasts];
    let (client, sql) = (session.client(), &store.append);
    if placed.len() < MANY {
        let statement = client.prepare_cached(&sql.write).await?;
        let (states, rows) = projected();
        let columns = project::columns(&states, &rows);
        log.extend(views(&last, &columns));
        return client.execute(&statement, &log).await.map(drop);
    }
    let [write_log, write_views] = session.prepare([&sql.write_log, &sql.write_views]).await?;
    let viewing = async {
        // The log's statement leaves before the rules are applied.
        tokio::task::yield_now().await;
        let (states, rows) = projected();
        let columns = project::columns(&states, &rows);
        client.execute(&write_views, &views(&last, &columns)).await
    };
    let (logged, viewed) = join(client.execute(&write_log, &log), viewing).await;
    logged.and(viewed).map(drop)
}

/// The last event's id, then the columns of each table; what only a shadow keeps is left out.
fn views<'a>(last: &'a i64, columns: &'a [(usize, Columns<'_>); 5]) -> Parameters<'a> {
    let mut values: Parameters<'a> = vec![last];
    for (name, (_, columns)) in WRITTEN.iter().zip(columns) {
        let expected = crate::sql::table(name).columns.len();
        values.extend(columns.iter().take(expected).map(|column| &**column as &(dyn ToSql + Sync)));
    }
    values
}
