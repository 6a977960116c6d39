//! What a certificate says, as far as libpq looks at it and the verifier of chains does not: the common name where there
//! is no alternative one, and the time of one that is trusted by itself.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, OtherError};
use thiserror::Error;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::{TbsCertificate, Version};

/// The attribute `commonName`.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// A certificate of the old version, whose chain the verifier does not read.
#[derive(Debug, Error)]
#[error(
    "it is of X.509 version 1, which cannot be verified: issue it again with `openssl x509 -req -extfile` and a subjectAltName in that file"
)]
struct VersionOne;

/// A server's certificate.
pub(super) struct Certificate(TbsCertificate);

impl Certificate {
    pub(super) fn read(certificate: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        x509_cert::Certificate::from_der(certificate)
            .map(|certificate| Self(certificate.tbs_certificate))
            .map_err(|_| CertificateError::BadEncoding)
    }

    pub(super) fn has_version_3(&self) -> Result<(), CertificateError> {
        match self.0.version {
            Version::V3 => Ok(()),
            _ => Err(CertificateError::Other(OtherError(Arc::new(VersionOne)))),
        }
    }

    /// `SubjectPublicKeyInfo`, in DER.
    pub(super) fn public_key(&self) -> Result<Vec<u8>, CertificateError> {
        self.0.subject_public_key_info.to_der().map_err(|_| CertificateError::BadEncoding)
    }

    pub(super) fn is_valid_at(&self, now: UnixTime) -> Result<(), CertificateError> {
        let seconds = now.as_secs();
        if seconds < self.0.validity.not_before.to_unix_duration().as_secs() {
            return Err(CertificateError::NotValidYet);
        }
        if seconds > self.0.validity.not_after.to_unix_duration().as_secs() {
            return Err(CertificateError::Expired);
        }
        Ok(())
    }

    /// Whether it is the certificate of this host: by its alternative names of the host's kind (DNS or address), and by
    /// its common name only if it has none of that kind.
    pub(super) fn is_for(&self, host: &ServerName<'_>) -> Result<(), CertificateError> {
        let alternatives = match self.0.get::<SubjectAltName>() {
            Ok(found) => found.map_or_else(Vec::new, |(_, names)| names.0),
            Err(_) => return Err(CertificateError::BadEncoding),
        };
        let (names, addresses) = split(&alternatives);
        let common = self.common_name();
        let matches = match host {
            ServerName::DnsName(host) => match names.as_slice() {
                [] => common.as_deref().is_some_and(|name| covers(name, host.as_ref())),
                names => names.iter().any(|name| covers(name, host.as_ref())),
            },
            ServerName::IpAddress(host) => {
                let host = IpAddr::from(*host);
                match addresses.as_slice() {
                    [] => common.as_deref().is_some_and(|name| name.parse() == Ok(host)),
                    addresses => addresses.contains(&host),
                }
            }
            _ => false,
        };
        if matches {
            return Ok(());
        }
        let mut presented: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        presented.extend(addresses.iter().map(IpAddr::to_string));
        if presented.is_empty() {
            presented.extend(common);
        }
        Err(CertificateError::NotValidForNameContext { expected: host.to_owned(), presented })
    }

    fn common_name(&self) -> Option<String> {
        let attribute = self
            .0
            .subject
            .0
            .iter()
            .flat_map(|name| name.0.iter())
            .find(|attribute| attribute.oid == COMMON_NAME)?;
        std::str::from_utf8(attribute.value.value()).ok().map(str::to_owned)
    }
}

fn split(alternatives: &[GeneralName]) -> (Vec<&str>, Vec<IpAddr>) {
    let mut names = Vec::new();
    let mut addresses = Vec::new();
    for alternative in alternatives {
        match alternative {
            GeneralName::DnsName(name) => names.push(name.as_str()),
            GeneralName::IpAddress(bytes) => {
                let bytes = bytes.as_bytes();
                let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
                addresses.extend(four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)));
            }
            _ => {}
        }
    }
    (names, addresses)
}

/// `*.` at the beginning stands for one label, and nothing else for anything.
fn covers(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        None => name.eq_ignore_ascii_case(host),
        Some(domain) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(domain)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    /// `/CN=common.example.org`; `DNS:*.example.org, DNS:db, IP:10.0.0.1, IP:fd00::1`.
    const NAMES: &[u8] = include_bytes!("names.pem");
    /// `/O=x/CN=10.0.0.2`; `DNS:only.example.org`.
    const COMMON: &[u8] = include_bytes!("common.pem");

    fn certificate(pem: &[u8]) -> Certificate {
        let certificate = CertificateDer::from_pem_slice(pem).expect("PEM");
        Certificate::read(&certificate).expect("a certificate")
    }

    #[test]
    fn a_star_stands_for_one_label() {
        for (name, host, covered) in [
            ("db.example.org", "DB.example.org", true),
            ("*.example.org", "db.Example.org", true),
            ("*.example.org", "a.db.example.org", false),
            ("*.example.org", "example.org", false),
            ("*.example.org", ".example.org", false),
            ("d*.example.org", "db.example.org", false),
            ("*", "db", false),
        ] {
            assert_eq!(covers(name, host), covered, "{name} {host}");
        }
    }

    #[test]
    fn the_common_name_counts_only_without_an_alternative_of_the_hosts_kind() {
        for (pem, host, is_for) in [
            (NAMES, "db", true),
            (NAMES, "one.example.org", true),
            (NAMES, "10.0.0.1", true),
            (NAMES, "fd00::1", true),
            (NAMES, "10.0.0.2", false),
            (NAMES, "example.org", false),
            (COMMON, "only.example.org", true),
            (COMMON, "10.0.0.2", true),
            (COMMON, "10.0.0.1", false),
            (COMMON, "other.example.org", false),
        ] {
            let name = ServerName::try_from(host).expect("a name");
            assert_eq!(certificate(pem).is_for(&name).is_ok(), is_for, "{host}");
        }
        let elsewhere = ServerName::try_from("elsewhere").expect("a name");
        let Err(CertificateError::NotValidForNameContext { presented, .. }) =
            certificate(NAMES).is_for(&elsewhere)
        else {
            panic!("it is for nobody else");
        };
        assert_eq!(presented, ["*.example.org", "db", "10.0.0.1", "fd00::1"]);
    }

    #[test]
    fn a_certificate_is_valid_from_its_first_second_to_its_last() {
        let certificate = certificate(NAMES);
        let (first, last) = (1_795_490_925, 4_949_090_925);
        for (seconds, expected) in [
            (first - 1, Err(CertificateError::NotValidYet)),
            (first, Ok(())),
            (last, Ok(())),
            (last + 1, Err(CertificateError::Expired)),
        ] {
            let moment = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            assert_eq!(certificate.is_valid_at(moment), expected, "{seconds}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let whole = CertificateDer::from_pem_slice(NAMES).expect("PEM");
        for length in 0..whole.len() {
            let cut = CertificateDer::from(whole.get(..length).expect("shorter"));
            assert!(Certificate::read(&cut).is_err(), "{length}");
        }
    }
}
