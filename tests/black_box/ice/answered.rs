//! ZeroC's client asks, the crate answers.

use std::sync::Arc;

use biomero_ice::{Identity, NetworkEndpoint};
use biomero_tests::{Result, Trouble, ice};

use super::peer::Peer;

/// `client.py` checks a peer of this crate's.
fn check(checks: &'static [&'static str], options: &'static [&'static str]) -> Result<()> {
    super::run(async move {
        for check in checks {
            let communicator = super::communicator();
            let adapter = communicator.adapter("");
            let (identity, servant) = (Identity::new("test", "peer"), Peer::new(communicator));
            adapter.add(identity.clone(), Arc::clone(&servant) as _);
            adapter.add_facet(identity.clone(), "side", servant);
            let listening = adapter.listen(&NetworkEndpoint::tcp("127.0.0.1", 0), None).await;
            listening.map_err(|error| Trouble::new(error.to_string()))?;
            let proxy = adapter.direct(identity).to_string();
            let checked = tokio::task::spawn_blocking(move || ice::check(&proxy, check, options));
            checked.await.map_err(|error| Trouble::new(error.to_string()))??;
        }
        Ok(())
    })
}

#[test]
fn operations_of_every_object_facets_and_contexts() -> Result<()> {
    check(&["basics"], &[])
}

#[test]
fn every_type_in_both_versions() -> Result<()> {
    check(&["values"], &[])
}

#[test]
fn cyclic_graphs_in_both_versions_and_formats() -> Result<()> {
    check(&["classes"], &[])
}

#[test]
fn classes_that_are_not_known_here_are_passed_on_whole() -> Result<()> {
    check(&["unknown"], &[])
}

#[test]
fn optional_parameters_and_results() -> Result<()> {
    check(&["optionals"], &[])
}

#[test]
fn exceptions_in_both_versions_and_formats() -> Result<()> {
    check(&["exceptions"], &[])
}

#[test]
fn oneway_calls_batches_and_calls_at_the_same_time() -> Result<()> {
    check(&["calls"], &[])
}

#[test]
fn callbacks_over_the_clients_connection() -> Result<()> {
    check(&["callbacks"], &[])
}

#[test]
fn large_messages_and_compressed_ones() -> Result<()> {
    check(&["large"], &[])
}

#[test]
fn a_client_that_compresses_all_is_understood() -> Result<()> {
    check(&["values", "classes", "calls", "callbacks", "large"], &["--Ice.Override.Compress=1"])
}
