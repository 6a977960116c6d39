//! Takes the times of Ice calls for `cargo xtask bench ice`: `ping PROXY COUNT`, `serve`, `fetch PROXY BYTES COUNT`, and
//! `copy BYTES COUNT`, the same bytes over plain TCP. Nanoseconds go to standard output.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use biomero_ice::adapter::Answering;
use biomero_ice::{Call, Communicator, Identity, Mode, NetworkEndpoint, Options, Servant};
use bytes::Bytes;

type Failure = Box<dyn std::error::Error>;

/// Answers with bytes that are there already.
struct Store {
    bytes: Bytes,
}

impl Servant for Store {
    fn type_ids(&self) -> &[&'static str] {
        &["::Test::Store"]
    }

    fn answer(self: Arc<Self>, call: Call) -> Answering {
        Box::pin(async move {
            // As OMERO's RawPixelsStore has it: where, and how wide and high, of samples of a byte.
            let place: (i32, i32, i32, i32, i32, i32, i32) = call.parameters()?;
            let side = |side: i32| usize::try_from(side).unwrap_or_default();
            let length = side(place.5).saturating_mul(side(place.6));
            call.answer(&self.bytes.slice(..length.min(self.bytes.len())))
        })
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["copy", bytes, count] => copy(bytes, count),
        _ => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(call(&words)))
        }
    };
    match done {
        Ok(nanoseconds) => {
            let _ = writeln!(std::io::stdout(), "{nanoseconds}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

async fn call(words: &[&str]) -> Result<u128, Failure> {
    let communicator = Communicator::new(Options::default());
    match words {
        ["ping", proxy, count] => {
            let proxy = communicator.parse(proxy)?;
            proxy.ice_ping().await?;
            let began = Instant::now();
            for _ in 0..count.parse::<usize>()? {
                proxy.ice_ping().await?;
            }
            Ok(began.elapsed().as_nanos())
        }
        ["fetch", proxy, bytes, count] => {
            let (proxy, length) = (communicator.parse(proxy)?, bytes.parse::<i32>()?);
            let (width, height) = (1024, length / 1024);
            let mut received = 0;
            let began = Instant::now();
            for _ in 0..count.parse::<usize>()? {
                let tile = (0_i32, 0_i32, 0_i32, 0_i32, 0_i32, width, height);
                let results = proxy.call("getTile", Mode::Idempotent, |encoder| encoder.value(&tile)).await?;
                received += results.value::<Bytes>()?.len();
            }
            let taken = began.elapsed().as_nanos();
            if received != count.parse::<usize>()? * usize::try_from(length)? {
                return Err("bytes are missing".into());
            }
            Ok(taken)
        }
        ["serve"] => {
            let adapter = communicator.adapter("");
            adapter.add(Identity::named("store"), Arc::new(Store { bytes: vec![7; 16 << 20].into() }));
            adapter.listen(&NetworkEndpoint::tcp("127.0.0.1", 0), None).await?;
            writeln!(std::io::stdout(), "ready {}", adapter.direct(Identity::named("store")))?;
            std::future::pending().await
        }
        _ => Err("ping PROXY COUNT | fetch PROXY BYTES COUNT | serve | copy BYTES COUNT".into()),
    }
}

/// As much over a socket that asks with a byte each time.
fn copy(bytes: &str, count: &str) -> Result<u128, Failure> {
    let (length, count) = (bytes.parse::<usize>()?, count.parse::<usize>()?);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let sender = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut socket, _) = listener.accept()?;
        let sent = vec![7; length];
        let mut question = [0];
        for _ in 0..count {
            socket.read_exact(&mut question)?;
            socket.write_all(&sent)?;
        }
        Ok(())
    });
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let mut received = vec![0; length];
    let began = Instant::now();
    for _ in 0..count {
        socket.write_all(&[1])?;
        socket.read_exact(&mut received)?;
    }
    let taken = began.elapsed().as_nanos();
    sender.join().map_err(|_| "the sender panicked")??;
    Ok(taken)
}
