//! `site-proxy`: what programs behind a site's proxy need, made of what the site gives.
//!
//! - Proxy variables in both spellings, since some programs read `https_proxy` and others `HTTPS_PROXY`; `NO_PROXY`
//!   completed with what is never reached through a proxy: this machine, the worker's own name, the master.
//! - One bundle of certificates: the system's with the site's own after them, and the variables by which Python's
//!   requests, OpenSSL and curl find it. Each of these takes the bundle *instead* of the system's, so that the site's
//!   certificates alone would lock out the rest of the world.

mod certificates;
mod proxy;

use biomero_hooks_guest::{
    Context, Description, Effect, File, Hook, HookError, Variable, description, export, log,
};

use certificates::Found;

struct SiteProxy;

/// Where the system keeps its bundle: Rocky Linux and its kin, Debian and its kin.
const SYSTEM: [&str; 2] = ["/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt"];
/// Where a site puts its own: secrets of the container, or a mounted folder.
const SITE: [&str; 2] = ["/run/secrets/*.pem", "/etc/biomero/site-ca/*.pem"];
/// Who reads the bundle: Python's requests, everything with OpenSSL, curl.
const VARIABLES: [&str; 3] = ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"];

impl Hook for SiteProxy {
    fn describe() -> Description {
        let description = description!("sets up the site's proxy and certificates")
            .setting("master.host")
            .setting("omero.directory")
            .setting("worker.name")
            .variable("*_PROXY")
            .variable("*_proxy");
        SYSTEM.iter().chain(&SITE).fold(description, |description, path| description.file(path))
    }

    fn plan(context: &Context) -> Result<Vec<Effect>, HookError> {
        let mut effects = certificates(context)?;
        let near = [Some(context.setting("worker.name")?), context.optional_setting("master.host")];
        effects.extend(proxy::plan(context, near.into_iter().flatten())?);
        Ok(effects)
    }
}

export!(SiteProxy);

/// The bundle and the variables that lead to it; nothing where the site has no certificate of its own.
fn certificates(context: &Context) -> Result<Vec<Effect>, HookError> {
    let mut effects = vec![];
    let mut own: Vec<(&str, certificates::Certificate)> = vec![];
    for file in SITE.iter().flat_map(|asked| context.files(asked)) {
        let Some(text) = file.text()? else { continue };
        match certificates::read(&file.path, text)? {
            Found::Certificates(found) => {
                for certificate in found {
                    // The same authority as a secret and in the folder: once is enough.
                    if own.iter().all(|(_, other)| *other != certificate) {
                        own.push((&file.path, certificate));
                    }
                }
            }
            Found::Other(what) => effects
                .push(Effect::notice(format!("{} holds {what} and no certificate: passed over", file.path))),
        }
    }
    if own.is_empty() {
        return Ok(effects);
    }
    let mut bundle: Vec<u8> = vec![];
    for asked in SYSTEM {
        if let Some(system) = context.file(asked)?.bytes()? {
            log::debug(&format!("the system's certificates are in {asked}"));
            bundle.extend_from_slice(system.trim_ascii_end());
            bundle.extend_from_slice(b"\n\n");
            break;
        }
    }
    if bundle.is_empty() {
        effects.push(Effect::notice(format!(
            "neither {} nor {} is there: only the site's certificates will be trusted",
            SYSTEM[0], SYSTEM[1]
        )));
    }
    for (path, certificate) in &own {
        bundle.extend_from_slice(format!("# {path}\n{certificate}").as_bytes());
    }
    let path = format!("{}/etc/site-ca-bundle.pem", context.setting("omero.directory")?);
    effects.push(File::bytes(&path, bundle).into());
    effects.extend(VARIABLES.map(|name| Variable::set(name, &path).into()));
    Ok(effects)
}

#[cfg(test)]
mod tests;
