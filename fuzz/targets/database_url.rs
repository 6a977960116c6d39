//! The URL of a database, as SQLAlchemy and libpq write it: any text, and any text behind a password.
#![no_main]

use biomero_events::url::DatabaseUrl;
use libfuzzer_sys::fuzz_target;

const PASSWORD: &str = "hunter2secret";

fuzz_target!(|text: &str| {
    let _ = DatabaseUrl::parse(text);
    let behind = format!("postgresql+psycopg2://biomero:{PASSWORD}@{}", text.replace(PASSWORD, ""));
    let shown = match DatabaseUrl::parse(&behind) {
        Ok(url) => format!("{url} {url:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!shown.contains(PASSWORD), "{shown}");
});
