//! OMERO.grid's Processor: what OMERO has run scripts with.
//!
//! Two layers. [`script`] runs a script as a process, with its folder, its variables ([`environment`]) and its limits, and
//! knows neither Ice nor OMERO. Each script is the child of a [`keeper`], which outlives us. [`processor`] is what OMERO calls:
//! it takes jobs, has their scripts run, and tells OMERO what became of them.
//!
//! Invariants:
//! - Nothing that a script started is left when it is said to be over.
//! - A script whose end nobody saw is found again, or said to be lost; it is never forgotten.
//! - A session's id is in the script's own folder, which nobody else can read, and in no log.

pub mod environment;
pub mod keeper;
mod processes;
pub mod processor;
pub mod script;
