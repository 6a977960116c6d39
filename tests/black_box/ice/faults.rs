//! What a server of the crate's costs while thousands are connected, whatever they send.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use biomero_tests::ice::Server;
use biomero_tests::process;
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, wait};
use nix::sys::resource::{Resource, setrlimit};

const CLIENTS: usize = 10_000;

/// Of a server with that many connections. Half of it is what they hold; the rest is room for other versions of its libraries.
const MEMORY: u64 = 200 << 20;

/// A header that says 60 MB, and nothing after it.
const PROMISE: &[u8] = b"IceP\x01\x00\x01\x00\x00\x00\x00\x00\x94\x03";

#[test]
fn ten_thousand_clients_cost_little_and_are_forgotten() -> Result<()> {
    let scratch = Scratch::new()?;
    setrlimit(Resource::RLIMIT_NOFILE, 20_000, 20_000).map_err(|error| {
        Trouble::new(format!("10,000 sockets need `ulimit -n 20000`, and this user may not: {error}"))
    })?;
    let mut server = Server::run("serve", serve(), scratch.path())?;
    let id = server.process().id();
    let port = server.proxy().split_whitespace().skip_while(|word| *word != "-p").nth(1);
    let port: u16 = port.and_then(|port| port.parse().ok()).ok_or_else(|| Trouble::new(server.proxy()))?;
    let files = || std::fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count);
    let before = files();

    let mut clients = Vec::with_capacity(CLIENTS);
    for number in 0..CLIENTS {
        let mut client = TcpStream::connect(("127.0.0.1", port))
            .map_err(Trouble::doing(format!("connect client {number}")))?;
        client.set_read_timeout(Some(wait::PATIENCE)).map_err(Trouble::doing("set a timeout"))?;
        let mut greeting = [0; 14];
        client.read_exact(&mut greeting).map_err(Trouble::doing(format!("be greeted as client {number}")))?;
        client.write_all(PROMISE).map_err(Trouble::doing(format!("promise as client {number}")))?;
        clients.push(client);
    }
    assert!(files() >= before + CLIENTS, "{} files are open", files());
    ping(server.proxy())?;
    let resident = resident(id)?;
    assert!(resident < MEMORY, "{resident} bytes for {CLIENTS} clients");

    drop(clients);
    let log = server.process().log().to_path_buf();
    wait::until("all sockets to be closed", wait::PATIENCE, &[&log], || {
        (files() <= before + 1).then_some(())
    })?;
    ping(server.proxy())
}

fn serve() -> Command {
    let mut serve = Command::new(env!("CARGO_BIN_EXE_ice_stopwatch"));
    serve.arg("serve");
    serve
}

fn ping(proxy: &str) -> Result<()> {
    let mut ping = Command::new(env!("CARGO_BIN_EXE_ice_stopwatch"));
    process::succeed(ping.args(["ping", proxy, "10"]), Duration::from_secs(60)).map(drop)
}

/// In bytes.
fn resident(id: nix::unistd::Pid) -> Result<u64> {
    let status =
        std::fs::read_to_string(format!("/proc/{id}/status")).map_err(Trouble::doing("ask for memory"))?;
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| Trouble::new(status))
}
