//! The event log beside the real Python client, on a real PostgreSQL.

mod crash;
mod ours;
mod parity;
mod together;
