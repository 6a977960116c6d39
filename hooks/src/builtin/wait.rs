//! `wait`: addresses and paths that must be there before services start.
//!
//! Names are not waited for here: a hook that needs an address says so, and the resolver tries again until
//! `wait.resolve` has passed.

use crate::context::{Context, Need};
use crate::effect::Effect;
use crate::hook::{Hook, HookError};

/// See the module.
#[derive(Debug)]
pub struct WaitHook;

impl Hook for WaitHook {
    fn name(&self) -> &'static str {
        "wait"
    }

    fn summary(&self) -> &'static str {
        "waits until the addresses in wait.tcp answer and the paths in wait.paths exist"
    }

    fn needs(&self, _: &Context<'_>) -> Vec<Need> {
        Vec::new()
    }

    fn plan(&self, context: &Context<'_>) -> Result<Vec<Effect>, HookError> {
        let wait = &context.settings.wait;
        let mut effects = Vec::with_capacity(wait.tcp.len() + wait.paths.len());
        for path in &wait.paths {
            if !path.is_absolute() {
                return Err(HookError::Invalid {
                    place: "wait.paths".to_owned(),
                    problem: format!("{} is not an absolute path", path.display()),
                    remedy: "write the path from / on".to_owned(),
                });
            }
            effects.push(Effect::WaitPath { path: path.clone(), deadline: wait.deadline });
        }
        for address in &wait.tcp {
            let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
            if port.parse::<u16>().is_ok_and(|port| port > 0) {
                let host = super::host::checked("wait.tcp", host)?;
                let host = if host.contains(':') { format!("[{host}]") } else { host };
                effects.push(Effect::WaitTcp { address: format!("{host}:{port}"), deadline: wait.deadline });
            } else {
                return Err(HookError::Invalid {
                    place: "wait.tcp".to_owned(),
                    problem: format!("{address:?} has no port from 1 to 65535 after its last colon"),
                    remedy: "write host:port, as omeroserver:4064 or [fd00::7]:4064".to_owned(),
                });
            }
        }
        Ok(effects)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::fixture::Fixture;
    use super::*;
    use crate::context::Facts;

    #[test]
    fn paths_come_before_addresses_since_a_mount_is_the_cheaper_thing_to_miss() {
        let mut fixture = Fixture::new();
        fixture.settings.wait.tcp = vec!["omeroserver:4064".to_owned(), "[fd00::7]:5432".to_owned()];
        fixture.settings.wait.paths = vec!["/data".into()];
        fixture.settings.wait.deadline = Duration::from_secs(7);
        let deadline = Duration::from_secs(7);
        assert_eq!(
            fixture.plan(&WaitHook, Facts::default()).unwrap(),
            [
                Effect::WaitPath { path: "/data".into(), deadline },
                Effect::WaitTcp { address: "omeroserver:4064".to_owned(), deadline },
                Effect::WaitTcp { address: "[fd00::7]:5432".to_owned(), deadline },
            ]
        );
    }

    #[test]
    fn what_is_not_an_address_or_a_path_is_refused() {
        for (address, error) in [
            (
                "omeroserver",
                "wait.tcp: \"omeroserver\" has no port from 1 to 65535 after its last colon; write host:port, as omeroserver:4064 or [fd00::7]:4064",
            ),
            (
                "omeroserver:0",
                "wait.tcp: \"omeroserver:0\" has no port from 1 to 65535 after its last colon; write host:port, as omeroserver:4064 or [fd00::7]:4064",
            ),
            (
                "a b:1",
                "wait.tcp: \"a b\" is neither a host name nor an address; write a name as biomeroworker or worker.example.org, or an address as 10.0.0.7 or fd00::7",
            ),
        ] {
            let mut fixture = Fixture::new();
            fixture.settings.wait.tcp = vec![address.to_owned()];
            assert_eq!(fixture.plan(&WaitHook, Facts::default()).unwrap_err().to_string(), error);
        }
        let mut fixture = Fixture::new();
        fixture.settings.wait.paths = vec!["data".into()];
        insta::assert_snapshot!(fixture.plan(&WaitHook, Facts::default()).unwrap_err(), @"wait.paths: data is not an absolute path; write the path from / on");
    }
}
