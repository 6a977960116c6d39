//! Processor-0 in the product: `init` as process 1, its hooks, a real IceGrid node, registry and router, and jobs of OMERO's.

mod direct;
mod faults;
mod history;
mod native;
mod python;
mod refused;
mod stage;
