//! `::Ice::Process`: how IceGrid's node tells a server to end. One that has none is waited for a minute and killed.

use std::sync::Arc;

use biomero_ice::adapter::Answering;
use biomero_ice::{Call, Servant};
use tokio::sync::Notify;

/// The servant.
pub(super) struct StopServant(pub(super) Arc<Notify>);

impl Servant for StopServant {
    fn type_ids(&self) -> &[&'static str] {
        &["::Ice::Process"]
    }

    fn answer(self: Arc<Self>, call: Call) -> Answering {
        Box::pin(async move {
            match call.operation() {
                "shutdown" => {
                    self.0.notify_one();
                    call.answer(&())
                }
                "writeMessage" => {
                    let (message, _stream): (String, i32) = call.parameters()?;
                    tracing::info!("IceGrid's node says: {message:?}");
                    call.answer(&())
                }
                _ => Err(call.unknown_operation()),
            }
        })
    }
}
