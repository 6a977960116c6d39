//! The workflow history: an event log in PostgreSQL, or SQLite where there is no server, in exactly the tables and bytes of
//! the Python `biomero` client.

pub mod activity;
pub mod aggregate;
pub mod command;
pub mod copy;
mod error;
pub mod event;
mod follow;
pub mod json;
pub mod leader;
mod log;
mod plan;
pub mod postgres;
pub mod projection;
pub mod query;
pub mod rebuild;
mod retry;
pub mod schema;
mod sql;
pub mod sqlite;
pub mod stored;
pub mod timestamp;
pub mod url;
pub mod worker;
pub mod workflow;

pub use error::{Class, Error};
pub use follow::{Bell, Follower};
pub use leader::Leadership;
pub use log::{Appended, EventLog, Initialised, Limits, Recorded, Section};
