//! TLS: whose certificate a server may show.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use biomero_omero::Tls;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::Unread;

/// The longest file of certificates that is read.
const LONGEST: u64 = 4 << 20;

/// Whom a server's certificate may be from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The authorities that this machine trusts.
    #[default]
    System,
    /// Those in a file, one of which may be the server's own.
    File(PathBuf),
    /// Anybody, as OMERO's own clients do: who listens in cannot read it, but who is in between can.
    Any,
}

impl From<&str> for Trust {
    fn from(text: &str) -> Self {
        match text {
            "system" => Self::System,
            "any" => Self::Any,
            path => Self::File(path.into()),
        }
    }
}

/// What connects by it.
pub(super) fn tls(trust: &Trust) -> Result<Tls, Unread> {
    let provider = Arc::new(ring::default_provider());
    let (roots, own) = match trust {
        Trust::System => (system()?, Vec::new()),
        Trust::File(path) => {
            let certificates = read(path)?;
            let mut roots = RootCertStore::empty();
            // One of a server alone is no authority, and trusted for being that one.
            roots.add_parsable_certificates(certificates.iter().cloned());
            (roots, certificates)
        }
        Trust::Any => (RootCertStore::empty(), Vec::new()),
    };
    // None of them, and there is nothing to look a chain up in.
    let chains = match roots.is_empty() {
        true => None,
        false => {
            let verifier =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
            Some(verifier.build().map_err(|error| Unread::Trust { problem: error.to_string() })?)
        }
    };
    let verifier =
        Verifier { chains, own, is_anybody: *trust == Trust::Any, provider: Arc::clone(&provider) };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Unread::Trust { problem: error.to_string() })?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Tls { client: Some(Arc::new(config)), server: None })
}

fn system() -> Result<RootCertStore, Unread> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let problem = "this machine trusts no authority (package ca-certificates)".to_owned();
        return Err(Unread::Trust { problem });
    }
    Ok(roots)
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, Unread> {
    let wrong = |problem: String| Unread::Trust { problem: format!("{}: {problem}", path.display()) };
    let length = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if length > LONGEST {
        return Err(wrong(format!("it has {length} bytes, more than any file of certificates")));
    }
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let found = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| wrong(format!("it is not in PEM: {error}")))?;
    match found.is_empty() {
        true => Err(wrong("no -----BEGIN CERTIFICATE----- is in it".to_owned())),
        false => Ok(found),
    }
}

/// Verifies chains, but for certificates that are trusted themselves.
#[derive(Debug)]
struct Verifier {
    chains: Option<Arc<WebPkiServerVerifier>>,
    own: Vec<CertificateDer<'static>>,
    is_anybody: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.is_anybody || self.own.iter().any(|own| own == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        match &self.chains {
            Some(chains) => {
                chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            None => Err(rustls::CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
