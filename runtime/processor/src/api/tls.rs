//! The certificate of TCP.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use thiserror::Error;

/// Why a certificate cannot be used.
#[derive(Debug, Error)]
pub(crate) enum TlsError {
    /// A file cannot be read.
    #[error("{setting}: {}: {reason}; it has to hold PEM", path.display())]
    Unreadable {
        /// Which of the two.
        setting: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// They do not belong together, or are of a kind that nobody knows.
    #[error(
        "api.certificate and api.key: {0}; the certificate and those that signed it, in order, and its own key"
    )]
    Refused(#[from] rustls::Error),
}

/// What TLS is done with: HTTP/1.1 alone, TLS 1.2 and later.
pub(crate) fn server(certificate: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    let unreadable = |setting: &'static str, path: &Path| {
        let path = path.to_owned();
        move |error: pem::Error| TlsError::Unreadable { setting, path, reason: error.to_string() }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unreadable("api.certificate", certificate))?;
    if chain.is_empty() {
        return Err(unreadable("api.certificate", certificate)(pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(unreadable("api.key", key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(server)
}
