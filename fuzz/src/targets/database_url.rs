//! The URL of a database, as SQLAlchemy and libpq write it: any text, and any text behind a password.

use biomero_events::url::DatabaseUrl;

const PASSWORD: &str = "hunter2secret";

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let _ = DatabaseUrl::parse(text);
    let behind = format!("postgresql+psycopg2://biomero:{PASSWORD}@{}", text.replace(PASSWORD, ""));
    let shown = match DatabaseUrl::parse(&behind) {
        Ok(url) => format!("{url} {url:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!shown.contains(PASSWORD), "{shown}");
}
