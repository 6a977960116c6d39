//! Components in this process: compiled without a child, so that thousands fit in a second.

use std::fs;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use biomero_config::Values;
use biomero_hooks::component::engine_config;
use biomero_hooks::{Disk, Exit, Identity, Machine, MachineError, Process, Site, Trial};
use wasmtime::Engine;

use crate::SETTINGS;

/// A machine whose compiler is this process.
#[derive(Debug)]
pub(crate) struct InProcess;

static COMPILER: LazyLock<Engine> =
    LazyLock::new(|| Engine::new(&engine_config()).expect("an engine with a compiler"));

impl Machine for InProcess {
    fn run(&mut self, process: &Process<'_>, _: Duration) -> Result<Exit, MachineError> {
        let [.., input, output] = process.argv else { return Ok(Exit::Code(64)) };
        let component = fs::read(input).expect("the component was just written");
        match COMPILER.precompile_component(&component) {
            Ok(code) => fs::write(output, code).map_or(Ok(Exit::Code(73)), |()| Ok(Exit::Code(0))),
            Err(_) => Ok(Exit::Code(1)),
        }
    }

    fn resolve(&mut self, _: &str, _: Duration) -> Result<Vec<IpAddr>, MachineError> {
        Ok(Vec::new())
    }

    fn wait_tcp(&mut self, _: &str, _: Duration) -> Result<(), MachineError> {
        Ok(())
    }

    fn wait_path(&mut self, _: &Path, _: Duration) -> Result<(), MachineError> {
        Ok(())
    }

    fn wait_readable(&mut self, _: BorrowedFd<'_>, _: Duration) -> Result<bool, MachineError> {
        // The guest's end is waited for by whoever joins its thread; fuel ends what does not end.
        Ok(true)
    }

    fn pause(&mut self, _: Duration) -> Result<(), MachineError> {
        Ok(())
    }

    fn interrupted(&mut self) -> Option<String> {
        None
    }
}

/// A component in a file, with this policy, ready to be prepared. Nothing is kept in a cache.
pub(crate) fn trial(folder: &Path, component: &[u8], policy: &str) -> Trial {
    let file = folder.join("hook.wasm");
    fs::write(&file, component).expect("a component can be written");
    let toml = folder.join("hook.toml");
    fs::write(&toml, policy).expect("a policy can be written");
    let mut settings = SETTINGS.clone();
    // It only has to be there.
    settings.hooks.compiler = "/proc/self/exe".into();
    settings.hooks.cache = folder.join("cache");
    let (identity, values, disk) = (Identity::of_this_process(), Values::default(), Disk::below("/"));
    let site =
        Site { settings: &settings, values: &values, disk: &disk, identity: &identity, arguments: &[] };
    biomero_hooks::trial(&file, Some(&toml), &[], None, folder.join("second"), &site)
        .expect("a policy of our own")
}

/// A core module in text as a component for the world `site-hook`.
pub(crate) fn componentize(module: &str) -> Vec<u8> {
    let mut module = wat::parse_str(module).expect("the module is well written");
    let mut wit = wit_parser::Resolve::default();
    let text = include_str!("../../hooks/wit/site-hook.wit");
    let package = wit.push_str("site-hook.wit", text).expect("the interface is well written");
    let world = wit.select_world(&[package], Some("site-hook")).expect("it has that world");
    wit_component::embed_component_metadata(&mut module, &wit, world, wit_component::StringEncoding::UTF8)
        .expect("a module takes a section");
    wit_component::ComponentEncoder::default()
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .expect("the module has the hook's functions")
}
