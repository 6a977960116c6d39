//! The event log beside the real Python client, on a real PostgreSQL.

mod ours;
mod parity;
mod together;
