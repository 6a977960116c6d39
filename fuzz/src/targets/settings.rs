//! A settings file of any content: settings or problems, each with its place, in bounded number.

use crate::root_with;
use biomero_config::{Environment, Sources, load};

pub(crate) fn run(data: &[u8]) {
    let root = root_with("etc/biomero/init.toml", data).to_owned();
    let text = String::from_utf8_lossy(data);
    let command_line = text
        .lines()
        .take(4)
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim().to_owned(), value.to_owned()));
    let sources = Sources { root, environment: Environment::default(), command_line: command_line.collect() };
    match load(&sources) {
        Ok(loaded) => assert!(!loaded.describe().is_empty()),
        Err(error) => assert!((1..1000).contains(&error.problems.len())),
    }
}
