//! The URL of a database, as SQLAlchemy and libpq write it.
#![no_main]

use biomero_events::url::DatabaseUrl;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match DatabaseUrl::parse(text) {
        Ok(url) => {
            let shown = format!("{url} {url:?}");
            assert!(!shown.contains("hunter2secret"), "{shown}");
        }
        Err(error) => {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2secret"), "{shown}");
        }
    }
});
