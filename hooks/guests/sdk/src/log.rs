//! Lines in the log of `init`, under the hook's name. On the host, as in unit tests, they go to standard error.

use crate::bindings::biomero::hooks::log::Level;

/// What only someone who looks for a fault wants to read.
pub fn debug(line: &str) {
    say(Level::Debug, line);
}

/// What happened.
pub fn info(line: &str) {
    say(Level::Info, line);
}

/// What someone should look at. What the plan itself should show is [`Effect::Notice`](crate::Effect::Notice).
pub fn warn(line: &str) {
    say(Level::Warn, line);
}

#[cfg(target_family = "wasm")]
fn say(level: Level, line: &str) {
    crate::bindings::biomero::hooks::log::log(level, line);
}

#[cfg(not(target_family = "wasm"))]
fn say(level: Level, line: &str) {
    eprintln!("{level:?}: {line}");
}
