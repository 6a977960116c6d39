//! A client of HTTP/1.1 that does as little as it can: what a test sends is sent as it is, also what no proper client sends.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::{Result, Trouble, wait};

/// What was answered.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection.
pub struct Connection<S> {
    stream: BufReader<S>,
    chunked: bool,
    left: u64,
}

/// Connects to a Unix socket.
///
/// # Errors
/// Nobody listens.
pub fn at(socket: &Path) -> Result<Connection<UnixStream>> {
    let stream = UnixStream::connect(socket)
        .and_then(|stream| stream.set_read_timeout(Some(wait::PATIENCE)).map(|()| stream))
        .map_err(Trouble::doing(format!("connect to {}", socket.display())))?;
    Ok(Connection::over(stream))
}

/// Connects over TCP.
///
/// # Errors
/// Nobody listens.
pub fn to(address: &str) -> Result<Connection<TcpStream>> {
    let stream = TcpStream::connect(address)
        .and_then(|stream| stream.set_read_timeout(Some(wait::PATIENCE)).map(|()| stream))
        .map_err(Trouble::doing(format!("connect to {address}")))?;
    Ok(Connection::over(stream))
}

/// Asks at a Unix socket.
///
/// # Errors
/// There is no answer.
pub fn ask(socket: &Path, method: &str, path: &str, headers: &str, body: &str) -> Result<Answer> {
    at(socket)?.ask(method, path, headers, body)
}

/// Gets what is at a path.
///
/// # Errors
/// There is no answer.
pub fn get(socket: &Path, path: &str) -> Result<Answer> {
    ask(socket, "GET", path, "", "")
}

/// Sends JSON.
///
/// # Errors
/// There is no answer.
pub fn post(socket: &Path, path: &str, body: &Value) -> Result<Answer> {
    ask(socket, "POST", path, "Content-Type: application/json\r\n", &body.to_string())
}

impl<S: Read + Write> Connection<S> {
    /// Over a stream that is connected.
    pub fn over(stream: S) -> Self {
        Self { stream: BufReader::new(stream), chunked: false, left: 0 }
    }

    /// What is below it.
    pub fn stream(&mut self) -> &mut S {
        self.stream.get_mut()
    }

    /// Sends a request, and takes the whole answer. `headers` end in a new line each.
    ///
    /// # Errors
    /// There is no answer.
    pub fn ask(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Result<Answer> {
        let length = match (method, body) {
            ("GET", "") => String::new(),
            _ => format!("Content-Length: {}\r\n", body.len()),
        };
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: worker\r\n{headers}{length}\r\n{body}"))?;
        let mut answer = self.head()?;
        self.rest(&mut answer.body)?;
        Ok(answer)
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// The peer has gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes.as_ref()).and_then(|()| stream.flush()).map_err(Trouble::doing("send"))
    }

    /// Takes the head of an answer.
    ///
    /// # Errors
    /// There is none.
    pub fn head(&mut self) -> Result<Answer> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| Trouble::new(format!("{first:?} is no answer")))?;
        let mut answer = Answer { status, ..Answer::default() };
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(": ") else { break };
            answer.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        self.chunked = answer.header("transfer-encoding") == "chunked";
        self.left = answer.header("content-length").parse().unwrap_or(0);
        Ok(answer)
    }

    /// The next piece of a body; none at its end.
    ///
    /// # Errors
    /// It breaks off.
    pub fn piece(&mut self) -> Result<Option<Vec<u8>>> {
        if self.chunked {
            let length = self.line()?;
            let length = u64::from_str_radix(length.trim(), 16)
                .map_err(|error| Trouble::new(format!("{length:?} is no length: {error}")))?;
            let piece = self.exactly(length)?;
            self.line()?;
            self.chunked = length > 0;
            return Ok((length > 0).then_some(piece));
        }
        let piece = self.exactly(self.left)?;
        self.left = 0;
        Ok((!piece.is_empty()).then_some(piece))
    }

    /// The rest of a body.
    ///
    /// # Errors
    /// It breaks off.
    pub fn rest(&mut self, body: &mut Vec<u8>) -> Result<()> {
        while let Some(piece) = self.piece()? {
            body.extend(piece);
        }
        Ok(())
    }

    fn exactly(&mut self, length: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&mut self.stream).take(length).read_to_end(&mut bytes).map_err(Trouble::doing("read"))?;
        if bytes.len() as u64 == length { Ok(bytes) } else { Err(Trouble::new("the answer breaks off")) }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        let read = (&mut self.stream).take(1 << 20).read_until(b'\n', &mut line);
        match read.map_err(Trouble::doing("read"))? {
            0 => Err(Trouble::new("the connection was closed")),
            _ => Ok(String::from_utf8_lossy(&line).trim_end().to_owned()),
        }
    }
}

impl Connection<UnixStream> {
    /// How long it is waited for an answer.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn patience(&mut self, patience: Duration) -> Result<()> {
        self.stream.get_mut().set_read_timeout(Some(patience)).map_err(Trouble::doing("set a limit"))
    }
}
