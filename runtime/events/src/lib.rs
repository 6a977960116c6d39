//! The workflow history: an event log in PostgreSQL, or SQLite where there is no server, in exactly the tables and bytes of
//! the Python `biomero` client.

pub mod event;
pub mod json;
pub mod timestamp;
pub mod url;
