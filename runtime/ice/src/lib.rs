//! The Ice protocol, version 1.0, with encodings 1.0 and 1.1: calls, callbacks and servants over TCP and TLS.
//!
//! A [`Communicator`] makes a [`Proxy`] of a [`Reference`], and an [`Adapter`] answers calls with [`Servant`]s. [`clients`] are
//! what IceGrid and Glacier2 are asked. Names of sections in quotes are those of the Ice manual.
//!
//! Invariants:
//! - [`encoding`] and [`protocol`] know no sockets: bytes go in, values come out. [`connection`] is where both meet tokio.
//! - Whatever a peer sends costs memory that [`Limits`] bound, ends in an error of the connection at worst, and never in a panic.
//! - A message goes to the socket from where its bytes are; a long one is read into memory that its values share.
//! - Every wait has a deadline: connecting, a call, the rest of a message, a peer that fell silent.
//! - Nothing here knows what is called; types are those of whoever implements [`Encode`](encoding::Encode),
//!   [`Decode`](encoding::Decode) and [`Sliced`](encoding::Sliced).

pub mod adapter;
pub mod clients;
mod communicator;
pub mod connection;
pub mod encoding;
pub mod endpoint;
mod error;
mod identity;
mod limits;
mod locate;
pub mod protocol;
mod proxy;
mod reference;
#[cfg(test)]
mod testing;

pub use adapter::{Adapter, Call, Refusal, Servant};
pub use communicator::{Communicator, Options};
pub use connection::{Connection, ConnectionError, KeepAlive, Tls};
pub use endpoint::{Endpoint, NetworkEndpoint, Transport};
pub use error::CallError;
pub use identity::{Identity, IdentityError};
pub use limits::Limits;
pub use protocol::message::{Context, Fault, Mode};
pub use proxy::{BatchCalls, Operation, Proxy, Results};
pub use reference::{Address, InvocationMode, Reference, ReferenceError};
