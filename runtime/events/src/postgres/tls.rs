//! Encryption with the meaning that libpq gives to `sslmode`: encrypted is one thing, verified another.
//!
//! Invariants: with authorities to verify by, the chain is verified in every mode that encrypts, and the name only with
//! `verify-full`; without, a mode that verifies is refused before anything is sent. The handshake's signature is
//! checked in every mode, so that the certificate shown is the server's own: with SCRAM's channel binding that proves
//! the server even where the certificate is not verified. Of what OpenSSL would read, revocation lists
//! (`~/.postgresql/root.crl`) and encrypted keys are not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connect::ConnectError;
use crate::url::{PostgresUrl, RootCertificates, SslMode};

mod certificate;

use certificate::Certificate;

/// How connections of this URL are encrypted. Its files are read here, once.
pub(super) fn connector(url: &PostgresUrl) -> Result<MakeRustlsConnect, ConnectError> {
    let mode = url.ssl_mode();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let encrypts = mode != SslMode::Disable;
    let roots = if encrypts { roots(url)? } else { None };
    if let (None, Some(mode)) = (&roots, verifying(mode)) {
        return Err(ConnectError::NoRoots { mode });
    }
    let verifier = Verifier {
        roots,
        name: mode == SslMode::VerifyFull,
        algorithms: provider.signature_verification_algorithms,
    };
    let builder =
        builder(Arc::clone(&provider))?.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let config = match client_certificate(url).filter(|_| encrypts) {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let identity = identity(&provider, certificate, &key)?;
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

fn builder(
    provider: Arc<CryptoProvider>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, ConnectError> {
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::Pool { reason: error.to_string() })
}

const fn verifying(mode: SslMode) -> Option<&'static str> {
    match mode {
        SslMode::VerifyCa => Some("verify-ca"),
        SslMode::VerifyFull => Some("verify-full"),
        _ => None,
    }
}

/// Whom certificates may be signed by. One of their own certificates may be the server's, too.
#[derive(Debug)]
struct Roots {
    store: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
}

fn roots(url: &PostgresUrl) -> Result<Option<Roots>, ConnectError> {
    let usual = url.certificates.as_ref().map(|folder| folder.join("root.crt")).filter(|path| path.exists());
    let path = match (&url.root_certificates, usual) {
        (Some(RootCertificates::System), _) => return system_roots().map(Some),
        (Some(RootCertificates::File(path)), _) => path.clone(),
        (None, Some(path)) => path,
        (None, None) => return Ok(None),
    };
    let what = "certificates of authorities";
    let found = certificates(what, &path)?;
    let mut store = RootCertStore::empty();
    for certificate in &found {
        store.add(certificate.clone()).map_err(|error| ConnectError::File {
            what,
            path: path.clone(),
            reason: format!("one of them is no certificate of an authority: {error}"),
        })?;
    }
    Ok(Some(Roots { store, certificates: found }))
}

fn system_roots() -> Result<Roots, ConnectError> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    // A machine's store may hold relics that cannot be read: libpq passes over them too.
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let reason = if reasons.is_empty() { "there is none".to_owned() } else { reasons.join("; ") };
        return Err(ConnectError::SystemRoots { reason });
    }
    Ok(Roots { store, certificates: Vec::new() })
}

/// The files of our own certificate and its key: those that were named, else those in the home folder, if there are.
fn client_certificate(url: &PostgresUrl) -> Option<(PathBuf, PathBuf)> {
    let usual = |name: &str| url.certificates.as_ref().map(|folder| folder.join(name));
    let certificate =
        url.client_certificate.clone().or_else(|| usual("postgresql.crt").filter(|path| path.exists()))?;
    let key = url.client_key.clone().or_else(|| usual("postgresql.key"))?;
    Some((certificate, key))
}

/// A client certificate with its key, of whatever version: only the server has to read it.
fn identity(provider: &CryptoProvider, path: PathBuf, key: &Path) -> Result<CertifiedKey, ConnectError> {
    const WHAT: &str = "client certificate";
    let chain = certificates(WHAT, &path)?;
    let secret = private_key(key)?;
    let failed = |reason: String| ConnectError::File { what: WHAT, path, reason };
    let secret = match provider.key_provider.load_private_key(secret) {
        Ok(secret) => secret,
        Err(error) => return Err(failed(format!("its key {} cannot be used: {error}", key.display()))),
    };
    let public = chain.first().map(|own| Certificate::read(own).and_then(|own| own.public_key()));
    let is_of_key = match (public, secret.public_key()) {
        (Some(Ok(public)), Some(of_key)) => public == of_key.as_ref(),
        (public, _) => public.is_some_and(|public| public.is_ok()),
    };
    if !is_of_key {
        return Err(failed(format!("it does not go with its key {}", key.display())));
    }
    Ok(CertifiedKey::new(chain, secret))
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let failed = |reason: String| ConnectError::File { what, path: path.to_path_buf(), reason };
    let text = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| failed(format!("it is not in PEM: {error}")))?;
    if found.is_empty() {
        return Err(failed("no -----BEGIN CERTIFICATE----- is in it".to_owned()));
    }
    Ok(found)
}

/// As libpq, a key is refused that others may read, except that its group may where it belongs to root.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ConnectError> {
    use std::os::unix::fs::MetadataExt as _;
    let failed = |reason: String| ConnectError::File { what: "client key", path: path.to_path_buf(), reason };
    let metadata = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    let (mode, forbidden) = (metadata.mode() & 0o777, if metadata.uid() == 0 { 0o037 } else { 0o077 });
    if mode & forbidden != 0 {
        return Err(failed(format!("others may read it (mode {mode:04o}); chmod 0600 it")));
    }
    let text = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        failed(format!("no unencrypted key in PEM is in it: {error}; `openssl pkey` writes one"))
    })
}

/// Verifies as much as the mode asks for.
#[derive(Debug)]
struct Verifier {
    roots: Option<Roots>,
    name: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(roots) = &self.roots else { return Ok(ServerCertVerified::assertion()) };
        let certificate = Certificate::read(end_entity)?;
        // A self-signed certificate that is named as its own authority is trusted for being that one.
        if roots.certificates.iter().any(|root| root == end_entity) {
            certificate.is_valid_at(now)?;
        } else {
            certificate.has_version_3()?;
            verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(end_entity)?,
                &roots.store,
                intermediates,
                now,
                self.algorithms.all,
            )?;
        }
        if self.name {
            certificate.is_for(server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    /// By the key alone: certificates of version 1, as older `openssl x509 -req` makes them, have one too.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let key = Certificate::read(certificate)?.public_key()?;
        let key = SubjectPublicKeyInfoDer::from(key.as_slice());
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
