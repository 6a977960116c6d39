//! Being known to IceGrid's registry: which server we are, where our adapter is, which object is ours.
//!
//! What is said is said again whenever the registry has gone and come back. Nothing of it is wrong when it is said twice.

use std::sync::Arc;
use std::time::Duration;

use biomero_ice::clients::{
    AdapterAlreadyActive, GridRegistry, Locator, LocatorRegistry, ObjectExists, ServerNotFound,
};
use biomero_ice::{Address, CallError, Identity, Reference};

use super::{NAME, Shared};

/// Between two tries to reach the registry.
const AGAIN: Duration = Duration::from_secs(2);

/// Registers us, and again whenever the registry was gone.
pub(super) async fn for_ever(shared: &Arc<Shared>, process: &Identity) {
    let (mut said, mut gone) = (false, false);
    loop {
        match register(shared, process).await {
            Ok(()) => {
                said = false;
                tracing::info!("the processor is registered");
                // Both are parts of the master.
                if std::mem::take(&mut gone) {
                    shared.internal.doubt().await;
                }
                let registry = shared.communicator.proxy(shared.options.locator.clone());
                if let Ok(connection) = registry.connection().await {
                    let why = connection.ended().await;
                    tracing::warn!("the registry has gone: {why}");
                    gone = true;
                }
            }
            Err(error) if said => tracing::debug!("the registry does not take the processor: {error}"),
            Err(error) => {
                said = true;
                tracing::warn!("the registry does not take the processor, which is tried again: {error}");
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn register(shared: &Shared, process: &Identity) -> Result<(), CallError> {
    if let Some((registry, activation)) = registry(shared).await?.zip(shared.options.activation.as_ref()) {
        let process = shared.adapter.direct(process.clone());
        match registry.set_server_process(&activation.server, &process).await {
            Err(error) if error.raised::<ServerNotFound>().is_none() => return Err(error),
            _ => {}
        }
        // The registry takes the endpoints only.
        let place = shared.adapter.direct(Identity::named("dummy"));
        match registry.set_adapter(&activation.adapter, Some(&place)).await {
            Err(error) if error.raised::<AdapterAlreadyActive>().is_none() => return Err(error),
            _ => {}
        }
    }
    add_object(shared).await
}

async fn registry(shared: &Shared) -> Result<Option<LocatorRegistry>, CallError> {
    if shared.options.activation.is_none() {
        return Ok(None);
    }
    Locator::new(shared.communicator.proxy(shared.options.locator.clone())).registry().await
}

/// Makes the processor a well-known object.
async fn add_object(shared: &Shared) -> Result<(), CallError> {
    let registry = Reference::new(Identity::new("IceGrid", "Registry"), Address::WellKnown);
    let session = GridRegistry::new(shared.communicator.proxy(registry)).admin_session("null", "").await?;
    let admin = session.admin().await?;
    let object = shared.adapter.direct(Identity::named(NAME));
    let added = match admin.add_object(&object).await {
        Err(error) if error.raised::<ObjectExists>().is_some() => admin.update_object(&object).await,
        other => other,
    };
    let _ = session.destroy().await;
    added
}

/// Says that we are gone.
pub(super) async fn leave(shared: &Shared) {
    let Some(activation) = &shared.options.activation else { return };
    if let Ok(Some(registry)) = registry(shared).await
        && let Err(error) = registry.set_adapter(&activation.adapter, None).await
    {
        tracing::debug!("the registry does not take that the processor ends: {error}");
    }
}
