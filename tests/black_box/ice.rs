//! The Ice crate with ZeroC's own runtime at the other end: every type both ways, registries, routers, faults.

mod answered;
mod asked;
mod definitions;
mod faults;
mod grid;
mod peer;
mod router;

use biomero_ice::{Communicator, Options};
use biomero_tests::{Result, Trouble};

/// A communicator that knows the test's types.
fn communicator() -> Communicator {
    Communicator::new(options())
}

fn options() -> Options {
    Options { registry: std::sync::Arc::new(definitions::registry()), ..Options::default() }
}

/// Runs what is asynchronous to its end.
fn run<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(Trouble::doing("start tokio"))?.block_on(work)
}

/// An error of the crate as one of a test.
fn trouble(what: &'static str) -> impl Fn(biomero_ice::CallError) -> Trouble {
    move |error| Trouble::new(format!("{what}: {error}"))
}
