//! TLS ("IceSSL").

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::ConnectionError;
use super::stream::Encrypted;
use crate::endpoint::NetworkEndpoint;

/// How `ssl` endpoints are connected to and listened on. What is trusted and shown is the caller's decision.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Trust and own certificate, as a client.
    pub client: Option<Arc<ClientConfig>>,
    /// Own certificate and trust, as a server.
    pub server: Option<Arc<ServerConfig>>,
}

impl Tls {
    pub(super) async fn connect(
        &self,
        endpoint: &NetworkEndpoint,
        socket: TcpStream,
    ) -> Result<Box<dyn Encrypted>, ConnectionError> {
        let wrong = |problem: String, remedy| ConnectionError::Tls {
            endpoint: endpoint.to_string(),
            problem,
            remedy,
        };
        let config = self.client.clone().ok_or_else(|| {
            wrong("nothing is trusted".to_owned(), "give the certificates to trust, or use a tcp endpoint")
        })?;
        let name = ServerName::try_from(endpoint.host.clone())
            .map_err(|error| wrong(error.to_string(), "write the host as a name or an address"))?;
        match TlsConnector::from(config).connect(name, socket).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => {
                let (problem, remedy) = explained(&error);
                Err(wrong(problem, remedy))
            }
        }
    }

    pub(super) async fn accept(
        &self,
        peer: &str,
        socket: TcpStream,
    ) -> Result<Box<dyn Encrypted>, ConnectionError> {
        let wrong =
            |problem: String, remedy| ConnectionError::Tls { endpoint: peer.to_owned(), problem, remedy };
        let config = self.server.clone().ok_or_else(|| {
            wrong("there is no certificate to show".to_owned(), "give one, or listen on a tcp endpoint")
        })?;
        let accepted = TlsAcceptor::from(config).accept(socket).await;
        let stream =
            accepted.map_err(|error| wrong(error.to_string(), "the client has to trust the certificate"))?;
        Ok(Box::new(stream))
    }
}

/// What went wrong, and what to do about it.
fn explained(error: &io::Error) -> (String, &'static str) {
    match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure)) => (
            "the server shares no cipher with us: it offers only anonymous ones, as Glacier2 does while it has no certificate"
                .to_owned(),
            "give the server a certificate (OMERO: `omero certificates`, then restart), or use its tcp endpoint",
        ),
        Some(error @ rustls::Error::InvalidCertificate(_)) => {
            (error.to_string(), "trust the authority that has signed the server's certificate, and connect by the name in it")
        }
        _ => (error.to_string(), "check that the server's port is that of its ssl endpoint"),
    }
}
