//! Proxy variables.

use biomero_hooks_guest::{Context, Effect, HookError, Variable};

const PROXIES: [&str; 4] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY"];
/// This machine, in the words that programs use.
const HERE: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Both spellings of each variable that is set, and hosts that are near added to those without a proxy.
pub(crate) fn plan<'a>(
    context: &'a Context,
    near: impl Iterator<Item = &'a str>,
) -> Result<Vec<Effect>, HookError> {
    let mut effects = vec![];
    let mut is_used = false;
    for name in PROXIES {
        let Some((from, value)) = either(context, name, &mut effects) else { continue };
        check(from, value)?;
        is_used = true;
        for spelling in spellings(name) {
            if context.optional_variable(&spelling) != Some(value) {
                effects.push(Variable::set(spelling, value).secret_if(holds_password(value)).into());
            }
        }
    }
    if is_used {
        effects.extend(without_proxy(context, near));
    }
    Ok(effects)
}

fn spellings(name: &str) -> [String; 2] {
    [name.to_owned(), name.to_lowercase()]
}

/// The value in the spelling that most programs prefer, and that spelling.
fn either<'a>(
    context: &'a Context,
    name: &'static str,
    effects: &mut Vec<Effect>,
) -> Option<(String, &'a str)> {
    let lower = name.to_lowercase();
    match (context.optional_variable(&lower), context.optional_variable(name)) {
        (Some(one), Some(other)) if one != other => {
            effects.push(Effect::notice(format!("{lower} and {name} differ: {lower} counts")));
            Some((lower, one))
        }
        (Some(value), _) => Some((lower, value)),
        (None, Some(value)) => Some((name.to_owned(), value)),
        (None, None) => None,
    }
}

/// The value may hold a password, so that no error shows it.
fn check(name: String, value: &str) -> Result<(), HookError> {
    let refused = |problem: &str| {
        Err(HookError::invalid(
            &name,
            problem,
            "write it as http://proxy.example.org:3128 or http://USER:PASSWORD@HOST:PORT",
        ))
    };
    if value.chars().any(|character| character.is_whitespace() || character.is_control()) {
        return refused("holds white space");
    }
    let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
    if !matches!(scheme, "http" | "https" | "socks4" | "socks5" | "socks5h") {
        return refused("is for a protocol that no proxy speaks");
    }
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place).trim_end_matches('/');
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (place, None),
    };
    if host.is_empty() || host.contains('/') {
        return refused("names no host");
    }
    if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return refused("has a port that is none");
    }
    Ok(())
}

fn holds_password(value: &str) -> bool {
    let rest = value.split_once("://").map_or(value, |(_, rest)| rest);
    rest.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

/// `NO_PROXY` in both spellings, with what either held and what is near, each once.
fn without_proxy<'a>(context: &'a Context, near: impl Iterator<Item = &'a str>) -> Vec<Effect> {
    let [upper, lower] = spellings("NO_PROXY");
    let given = [&lower, &upper].into_iter().filter_map(|name| context.optional_variable(name));
    let listed = given.flat_map(|list| list.split(',')).map(str::trim).filter(|host| !host.is_empty());
    let mut hosts: Vec<&str> = vec![];
    for host in listed.chain(HERE).chain(near) {
        if hosts.iter().all(|other| !other.eq_ignore_ascii_case(host)) {
            hosts.push(host);
        }
    }
    // A lone `*` turns every proxy off; with anything beside it, it means nothing.
    let value = if hosts.contains(&"*") { "*".to_owned() } else { hosts.join(",") };
    [upper, lower]
        .into_iter()
        .filter(|name| context.optional_variable(name) != Some(&value))
        .map(|name| Variable::set(name, &value).into())
        .collect()
}
