//! What peers cost, whatever they send: thousands of them, those that make no sense, and graphs that lead back to themselves.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use biomero_ice::encoding::{Objects, Ref};
use biomero_ice::{Identity, Mode, NetworkEndpoint};
use biomero_tests::ice::Server;
use biomero_tests::process;
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, wait};
use nix::sys::resource::{Resource, setrlimit};

use super::definitions::{Circle, Shape};
use super::peer::Peer;

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

/// Headers of a message of this type and compression that says it has so many bytes.
fn header(kind: u8, compression: u8, size: u32) -> Vec<u8> {
    [b"IceP\x01\x00\x01\x00", &[kind, compression][..], &size.to_le_bytes()].concat()
}

#[test]
fn what_a_client_sends_ends_with_its_connection() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut server = Server::run("serve", serve(), scratch.path())?;
    let id = server.process().id();
    let port = server.proxy().split_whitespace().skip_while(|word| *word != "-p").nth(1);
    let port: u16 = port.and_then(|port| port.parse().ok()).ok_or_else(|| Trouble::new(server.proxy()))?;
    let files = || std::fs::read_dir(format!("/proc/{id}/fd")).map_err(Trouble::doing("count files"));
    ping(server.proxy())?;
    let (before, open) = (resident(id)?, files()?.count());
    // A request of the right length, whose strings say that they are longer than it.
    let lies = [header(0, 0, 14 + 9), vec![1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x7f]].concat();
    // Compressed, and becoming 2 GB as it says.
    let bomb = [header(0, 2, 14 + 8), vec![0xff, 0xff, 0xff, 0x7f, b'B', b'Z', b'h', b'9']].concat();
    let hostile: [(&str, Vec<u8>); 8] = [
        ("another protocol", b"GET / HTTP/1.1\r\nHost: here\r\n\r\n".to_vec()),
        ("noise", (0..4096_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
        ("half a header", header(0, 0, 100)[..7].to_vec()),
        ("half a message", [header(0, 0, 1 << 20), vec![0; 1 << 19]].concat()),
        ("a size of 2 GB", header(0, 0, i32::MAX as u32)),
        ("a size below zero", header(0, 0, u32::MAX)),
        ("strings without an end", lies),
        ("what becomes 2 GB", bomb),
    ];
    for (what, bytes) in &hostile {
        for _ in 0..200 {
            let mut client = TcpStream::connect(("127.0.0.1", port)).map_err(Trouble::doing("connect"))?;
            client.set_read_timeout(Some(wait::PATIENCE)).map_err(Trouble::doing("set a timeout"))?;
            let mut greeting = [0; 14];
            client.read_exact(&mut greeting).map_err(Trouble::doing("be greeted"))?;
            // It may have closed before all was sent: that it does is what is wanted.
            let _ = client.write_all(bytes);
            let _ = client.shutdown(std::net::Shutdown::Write);
            // Until it closes, which it does, and says nothing that is as long as a reply to a ping.
            let mut answer = Vec::new();
            let _ = client.take(1 << 20).read_to_end(&mut answer);
            assert!(answer.len() < 1 << 16, "{} bytes answer {what}", answer.len());
        }
        assert!(server.process().status().is_none(), "{what} has ended the server");
        ping(server.proxy())?;
    }
    let log = server.process().log().to_path_buf();
    wait::until("all sockets to be closed", wait::PATIENCE, &[&log], || {
        (files().ok()?.count() <= open + 1).then_some(())
    })?;
    let grown = resident(id)?.saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes are left of {} hostile clients", 200 * hostile.len());
    Ok(())
}

/// Two circles, each the other's friend and its own.
fn ring() -> (Objects, Ref<Shape>) {
    let mut objects = Objects::new();
    let [one, other]: [Ref<Circle>; 2] = std::array::from_fn(|_| objects.add(Circle::default()));
    let [first, second]: [Ref<Shape>; 2] = [one, other].map(|circle| circle.handle().into());
    for (circle, next) in [(one, second), (other, first)] {
        if let Some(circle) = objects.get_mut::<Circle>(circle) {
            circle.base.name = "x".repeat(1000);
            circle.base.next = Some(next);
            circle.friends = vec![Some(first), Some(second)];
        }
    }
    (objects, first)
}

#[test]
fn a_graph_that_leads_back_to_itself_is_freed() -> Result<()> {
    const CALLS: usize = 20_000;
    super::run(async {
        let adapter = super::communicator().adapter("");
        let servant = Peer::new(super::communicator());
        adapter.add(Identity::named("peer"), servant);
        let listening = adapter.listen(&NetworkEndpoint::tcp("127.0.0.1", 0), None).await;
        listening.map_err(|error| Trouble::new(error.to_string()))?;
        let peer = super::communicator().proxy(adapter.direct(Identity::named("peer")));
        let (objects, sent) = ring();
        let mut before = 0;
        for number in 0..CALLS {
            let what = super::trouble("same");
            let call = peer.operation("same", Mode::Normal).objects(&objects);
            let results = call.call(|encoder| encoder.value(&Some(sent))).await.map_err(&what)?;
            let (back, others): (Option<Ref<Shape>>, Objects) =
                results.value_with_objects().map_err(&what)?;
            let first =
                back.and_then(|back| others.get::<Circle>(back)).ok_or_else(|| Trouble::new("no circle"))?;
            assert_eq!((others.len(), first.friends[0]), (2, back));
            if number == CALLS / 4 {
                before = resident(nix::unistd::Pid::this())?;
            }
        }
        // Both ends are in this process: what a call left would be there 15,000 times, 2 kB and more each.
        let grown = resident(nix::unistd::Pid::this())?.saturating_sub(before);
        assert!(grown < 8 << 20, "{grown} bytes are left of {CALLS} graphs");
        Ok(())
    })
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
