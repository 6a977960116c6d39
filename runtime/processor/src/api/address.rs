//! Where is listened, by the settings; what would be unsafe is refused at the start.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use biomero_config::{ApiAccess, Environment};
use rustls::ServerConfig;
use thiserror::Error;

use super::tls::{self, TlsError};
use super::token::{TokenError, Tokens};

/// The folder of sockets in the image.
const RUN_FOLDER: &str = "/run/biomero";
/// The socket's name in a folder.
const SOCKET: &str = "processor.sock";

/// Why the settings are refused.
#[derive(Debug, Error)]
pub(crate) enum AddressError {
    /// Nobody would be asked who they are.
    #[error(
        "api.listen is {address}, and api.tokens names no file: make a token with `processor api token NAME`, write its line into a file of mode 600, and name that in api.tokens"
    )]
    NoTokens {
        /// Where.
        address: String,
    },
    /// Tokens would be seen on their way.
    #[error(
        "api.listen is {address}, which other machines reach, and there is no certificate: name one in api.certificate and api.key, or listen on 127.0.0.1 or [::1]"
    )]
    NoTls {
        /// Where.
        address: String,
    },
    /// Half of it is missing.
    #[error("api.certificate and api.key belong together: name both, or neither")]
    Half,
    /// A name that does not resolve.
    #[error("api.listen: {address} is no address: {reason}; write 127.0.0.1:8420")]
    Unresolved {
        /// What was written.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// Tokens.
    #[error("api.tokens: {0}")]
    Tokens(#[from] TokenError),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no folder for the socket.
    #[error("there is no folder for the socket: set XDG_RUNTIME_DIR or HOME, or name a place in api.socket")]
    NoFolder,
}

/// TCP, with who may ask.
#[derive(Debug, Clone)]
pub(crate) struct Tcp {
    /// Where.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Who may ask.
    pub(crate) tokens: Arc<Tokens>,
    /// How it is encrypted.
    pub(crate) tls: Option<Arc<ServerConfig>>,
}

/// The socket's place: the setting, the image's folder where we may write there, else the user's own.
pub(crate) fn socket(access: &ApiAccess, environment: &Environment) -> Result<PathBuf, AddressError> {
    if let Some(path) = &access.socket {
        return Ok(path.clone());
    }
    let run = Path::new(RUN_FOLDER);
    if nix::unistd::access(run, nix::unistd::AccessFlags::W_OK).is_ok() {
        return Ok(run.join(SOCKET));
    }
    let folder = |name: &str| environment.get_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let own = folder("XDG_RUNTIME_DIR").filter(|folder| folder.is_dir());
    let own = own.or_else(|| folder("XDG_STATE_HOME"));
    let own = own.or_else(|| Some(folder("HOME")?.join(".local/state")));
    Ok(own.ok_or(AddressError::NoFolder)?.join("biomero").join(SOCKET))
}

/// TCP, where it is asked for and safe.
pub(crate) fn tcp(access: &ApiAccess) -> Result<Option<Tcp>, AddressError> {
    let Some(address) = &access.listen else { return Ok(None) };
    let unresolved = |reason: String| AddressError::Unresolved { address: address.clone(), reason };
    let addresses: Vec<SocketAddr> =
        address.to_socket_addrs().map_err(|error| unresolved(error.to_string()))?.collect();
    if addresses.is_empty() {
        return Err(unresolved("it has no address".to_owned()));
    }
    let tokens = access.tokens.as_deref();
    let tokens = tokens.ok_or_else(|| AddressError::NoTokens { address: address.clone() })?;
    let tls = match (&access.certificate, &access.key) {
        (Some(certificate), Some(key)) => Some(Arc::new(tls::server(certificate, key)?)),
        (None, None) => None,
        _ => return Err(AddressError::Half),
    };
    if tls.is_none() && !addresses.iter().all(|address| address.ip().is_loopback()) {
        return Err(AddressError::NoTls { address: address.clone() });
    }
    Ok(Some(Tcp { addresses, tokens: Arc::new(Tokens::read(tokens)?), tls }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn access(listen: &str) -> ApiAccess {
        ApiAccess {
            socket: None,
            listen: Some(listen.to_owned()),
            tokens: None,
            certificate: None,
            key: None,
            rate: 100,
        }
    }

    #[test]
    fn what_would_be_unsafe_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().expect("a folder");
        let tokens = folder.path().join("tokens");
        std::fs::write(&tokens, format!("a {}", "ab".repeat(32))).expect("a file");
        std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o600)).expect("its mode");
        let tokens = Some(tokens);
        let half = Some(folder.path().join("certificate.pem"));
        for (access, told) in [
            (access("127.0.0.1:8420"), "api.tokens names no file"),
            (access("0.0.0.0:8420"), "api.tokens names no file"),
            (ApiAccess { tokens: tokens.clone(), ..access("0.0.0.0:8420") }, "no certificate"),
            (ApiAccess { tokens: tokens.clone(), ..access("[::]:8420") }, "no certificate"),
            (
                ApiAccess { tokens: tokens.clone(), certificate: half, ..access("[::1]:8420") },
                "belong together",
            ),
            (ApiAccess { tokens: tokens.clone(), ..access("nowhere") }, "is no address"),
        ] {
            let error = tcp(&access).expect_err("unsafe").to_string();
            assert!(error.contains(told), "{error}");
        }
        let safe = ApiAccess { tokens, ..access("127.0.0.1:8420") };
        assert_eq!(tcp(&safe).expect("safe").expect("asked for").addresses.len(), 1);
        assert!(tcp(&ApiAccess { listen: None, ..safe }).expect("safe").is_none());
    }

    #[test]
    fn the_socket_is_where_the_setting_says_or_in_the_users_own_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let named = ApiAccess { socket: Some("/a/b.sock".into()), ..access("") };
        let environment = |pairs: &[(&str, &str)]| Environment::from_iter(pairs.iter().copied());
        assert_eq!(socket(&named, &environment(&[])).expect("a place"), Path::new("/a/b.sock"));
        if nix::unistd::access(RUN_FOLDER, nix::unistd::AccessFlags::W_OK).is_ok() {
            return;
        }
        let runtime = folder.path().to_str().expect("text");
        let found = socket(&access(""), &environment(&[("XDG_RUNTIME_DIR", runtime), ("HOME", "/home/a")]));
        assert_eq!(found.expect("a place"), folder.path().join("biomero/processor.sock"));
        let found = socket(&access(""), &environment(&[("HOME", "/home/a")])).expect("a place");
        assert_eq!(found, Path::new("/home/a/.local/state/biomero/processor.sock"));
        assert!(matches!(socket(&access(""), &environment(&[])), Err(AddressError::NoFolder)));
    }
}
