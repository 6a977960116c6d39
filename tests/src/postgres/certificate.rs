//! A certificate for this machine, and the authority that has signed it, from the `openssl` program.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, Trouble, process, wait};

/// A server's certificate and its key.
#[derive(Debug)]
pub struct Pair {
    /// In PEM.
    pub certificate: PathBuf,
    /// In PEM.
    pub key: PathBuf,
}

/// Makes them in `folder`, for `127.0.0.1` and `localhost`; the authority's certificate goes to `ca`.
///
/// # Errors
/// There is no `openssl`, or a file cannot be written.
pub fn make(folder: &Path, ca: &Path) -> Result<Pair> {
    let file = |name: &str| folder.join(name);
    let pair = Pair { certificate: file("server.pem"), key: file("server.key") };
    let (request, extensions, ca_key) = (file("server.csr"), file("server.ext"), file("ca.key"));
    std::fs::write(
        &extensions,
        "subjectAltName = IP:127.0.0.1, DNS:localhost\nbasicConstraints = CA:FALSE\n",
    )
    .map_err(Trouble::doing(format!("write {}", extensions.display())))?;
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj";
    let outputs = [("-keyout", ca_key.as_path()), ("-out", ca)];
    openssl(&format!("req -x509 -days 2 {new} /CN=authority"), &outputs)?;
    openssl(&format!("req {new} /CN=server"), &[("-keyout", &pair.key), ("-out", &request)])?;
    let signing = [
        ("-in", request.as_path()),
        ("-CA", ca),
        ("-CAkey", &ca_key),
        ("-extfile", &extensions),
        ("-out", &pair.certificate),
    ];
    openssl("x509 -req -days 2 -CAcreateserial", &signing)?;
    Ok(pair)
}

fn openssl(words: &str, files: &[(&str, &Path)]) -> Result<()> {
    let mut openssl = Command::new("openssl");
    openssl.args(words.split(' '));
    for (option, path) in files {
        openssl.arg(option).arg(path);
    }
    process::succeed(&mut openssl, wait::PATIENCE).map(drop)
}
