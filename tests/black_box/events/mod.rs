//! The event log beside the real Python client, on a real PostgreSQL and in a file.

mod crash;
mod file;
mod hostile;
mod ours;
mod parity;
mod queries;
mod together;
