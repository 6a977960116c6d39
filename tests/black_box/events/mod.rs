//! The event log beside the real Python client, on a real PostgreSQL.

mod crash;
mod hostile;
mod ours;
mod parity;
mod together;
