//! Where an object can be reached ("Proxy and Endpoint Syntax", "Data Encoding for Proxies" in the Ice manual).

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::encoding::{Decode, DecodeError, Decoder, Encode, Encoder, Encoding, OptionalFormat, WireType};
use crate::identity::quoted;

/// In version 1.0 an endpoint for datagrams says which protocol and encoding are spoken there.
const DATAGRAM_VERSIONS: [u8; 4] = [1, 0, 1, 0];

/// One way to reach an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A host and port, over a transport that is known.
    Network(NetworkEndpoint),
    /// One that is not known here: passed on as it is.
    Opaque(OpaqueEndpoint),
}

/// A transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// TLS.
    Ssl,
    /// UDP: it is read and passed on; nothing is sent over it.
    Udp,
    /// A web socket: it is read and passed on; nothing is sent over it.
    Ws,
    /// A web socket over TLS: it is read and passed on; nothing is sent over it.
    Wss,
}

impl Transport {
    const ALL: [Self; 5] = [Self::Tcp, Self::Ssl, Self::Udp, Self::Ws, Self::Wss];

    const fn number(self) -> i16 {
        match self {
            Self::Tcp => 1,
            Self::Ssl => 2,
            Self::Udp => 3,
            Self::Ws => 4,
            Self::Wss => 5,
        }
    }

    /// As it stands in a proxy.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Ssl => "ssl",
            Self::Udp => "udp",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// Whether nobody on the way can read what is sent.
    #[must_use]
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Ssl | Self::Wss)
    }
}

/// A host and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NetworkEndpoint {
    /// Over what.
    pub transport: Transport,
    /// A name or an address; empty on an endpoint to listen on: all interfaces.
    pub host: String,
    /// The port; 0 on an endpoint to listen on: any.
    pub port: u16,
    /// How long connecting and sending may take; none: as long as it takes. Milliseconds on the wire.
    pub timeout: Option<Duration>,
    /// Whether requests may be compressed.
    pub compress: bool,
    /// Of web sockets: the path of the request.
    pub resource: String,
}

impl NetworkEndpoint {
    /// An endpoint with Ice's timeout of a minute; datagrams have none.
    #[must_use]
    pub fn new(transport: Transport, host: impl Into<String>, port: u16) -> Self {
        Self {
            transport,
            host: host.into(),
            port,
            timeout: match transport {
                Transport::Udp => None,
                _ => Some(Duration::from_secs(60)),
            },
            compress: false,
            resource: String::new(),
        }
    }

    /// TCP.
    #[must_use]
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self::new(Transport::Tcp, host, port)
    }
}

impl From<NetworkEndpoint> for Endpoint {
    fn from(endpoint: NetworkEndpoint) -> Self {
        Self::Network(endpoint)
    }
}

/// An endpoint of a type that is not known here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OpaqueEndpoint {
    /// Its type's number.
    pub number: i16,
    /// The version of its encoding.
    pub encoding: [u8; 2],
    /// What it holds.
    pub bytes: Bytes,
}

impl WireType for Endpoint {
    /// Type, size and version.
    const SHORTEST: usize = 8;
    const OPTIONAL: OptionalFormat = OptionalFormat::Block;
}

impl Encode for Endpoint {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        match self {
            Self::Network(endpoint) => {
                encoder.short(endpoint.transport.number());
                let outer = encoder.encoding();
                let size = 6 + encoded_length(endpoint, outer);
                encoder.int(i32::try_from(size).unwrap_or(i32::MAX));
                encoder.raw(&outer.numbers());
                endpoint_body(endpoint, encoder);
            }
            Self::Opaque(endpoint) => {
                encoder.short(endpoint.number);
                encoder.int(i32::try_from(endpoint.bytes.len() + 6).unwrap_or(i32::MAX));
                encoder.raw(&endpoint.encoding);
                encoder.raw(&endpoint.bytes);
            }
        }
    }
}

fn encoded_length(endpoint: &NetworkEndpoint, encoding: Encoding) -> usize {
    let mut apart = Encoder::new(encoding, crate::encoding::Format::Compact);
    endpoint_body(endpoint, &mut apart);
    apart.length()
}

fn endpoint_body(endpoint: &NetworkEndpoint, encoder: &mut Encoder<'_>) {
    encoder.string(&endpoint.host);
    encoder.int(i32::from(endpoint.port));
    if endpoint.transport == Transport::Udp {
        if encoder.encoding() == Encoding::V1_0 {
            encoder.raw(&DATAGRAM_VERSIONS);
        }
    } else {
        let milliseconds =
            endpoint.timeout.map(|timeout| i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX));
        encoder.int(milliseconds.unwrap_or(-1));
    }
    encoder.bool(endpoint.compress);
    if matches!(endpoint.transport, Transport::Ws | Transport::Wss) {
        encoder.string(&endpoint.resource);
    }
}

impl Decode for Endpoint {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let number = decoder.short()?;
        let (encoding, bytes) = decoder.any_encapsulation()?;
        let transport = Transport::ALL.into_iter().find(|transport| transport.number() == number);
        let Some((transport, encoding_known)) = transport.zip(Encoding::of(encoding).ok()) else {
            return Ok(Self::Opaque(OpaqueEndpoint { number, encoding, bytes }));
        };
        let registry = decoder.registry;
        let mut decoder = Decoder::new(bytes, encoding_known, registry, decoder.limits);
        let host = decoder.string()?;
        let port = decoder.int()?;
        let port =
            u16::try_from(port).map_err(|_| DecodeError::Value { what: "a port", value: i64::from(port) })?;
        let timeout = if transport == Transport::Udp { -1 } else { decoder.int()? };
        let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
        if transport == Transport::Udp && encoding_known == Encoding::V1_0 {
            decoder.raw("versions", DATAGRAM_VERSIONS.len())?;
        }
        let compress = decoder.bool()?;
        let resource = match transport {
            Transport::Ws | Transport::Wss => decoder.string()?,
            _ => String::new(),
        };
        // Later versions may say more.
        Ok(Self::Network(NetworkEndpoint { transport, host, port, timeout, compress, resource }))
    }
}

/// As it stands in a proxy: `tcp -h host -p 4063 -t 60000`.
impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(endpoint) => write!(formatter, "{endpoint}"),
            Self::Opaque(OpaqueEndpoint { number, encoding: [major, minor], bytes }) => {
                write!(formatter, "opaque -t {number} -e {major}.{minor} -v {}", STANDARD.encode(bytes))
            }
        }
    }
}

impl fmt::Display for NetworkEndpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.transport.name())?;
        if !self.host.is_empty() {
            write!(formatter, " -h {}", quoted(&self.host))?;
        }
        if self.port != 0 {
            write!(formatter, " -p {}", self.port)?;
        }
        if !self.resource.is_empty() {
            write!(formatter, " -r {}", quoted(&self.resource))?;
        }
        match self.timeout {
            _ if self.transport == Transport::Udp => {}
            None => formatter.write_str(" -t infinite")?,
            Some(timeout) => write!(formatter, " -t {}", timeout.as_millis())?,
        }
        if self.compress { formatter.write_str(" -z") } else { Ok(()) }
    }
}

/// Reads one endpoint from its words.
pub(crate) fn parse(words: &[String]) -> Result<Endpoint, String> {
    let Some((name, options)) = words.split_first() else { return Err("an endpoint is empty".to_owned()) };
    if name == "opaque" {
        return parse_opaque(options);
    }
    let name = if name == "default" { "tcp" } else { name };
    let transport = Transport::ALL.into_iter().find(|transport| transport.name() == name);
    let transport = transport.ok_or_else(|| format!("`{name}` is no transport that is known here"))?;
    let mut endpoint = NetworkEndpoint::new(transport, "", 0);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let mut value = || options.next().ok_or_else(|| format!("{option} wants a value"));
        match option.as_str() {
            "-h" => {
                let host = value()?;
                endpoint.host = if host == "*" { String::new() } else { host.clone() };
            }
            "-p" => {
                let port = value()?;
                endpoint.port = port.parse().map_err(|_| format!("`-p {port}` is no port"))?;
            }
            "-t" => {
                let timeout = value()?;
                endpoint.timeout = match timeout.as_str() {
                    "infinite" | "-1" => None,
                    timeout => Some(Duration::from_millis(
                        timeout
                            .parse::<u32>()
                            .map_err(|_| format!("`-t {timeout}` is no number of milliseconds"))?
                            .into(),
                    )),
                };
            }
            "-r" => endpoint.resource = value()?.clone(),
            "-z" => endpoint.compress = true,
            // Said to whoever listens or sends datagrams; nothing that is sent on.
            "--sourceAddress" | "--interface" | "--ttl" => drop(value()?),
            "-c" => {}
            other => return Err(format!("{name} has no option {other}")),
        }
    }
    Ok(endpoint.into())
}

fn parse_opaque(options: &[String]) -> Result<Endpoint, String> {
    let (mut number, mut encoding, mut bytes) = (None, [1, 0], None);
    for pair in options.chunks(2) {
        let [option, value] = pair else { return Err(format!("{} wants a value", pair.concat())) };
        match option.as_str() {
            "-t" => number = Some(value.parse().map_err(|_| format!("`-t {value}` is no endpoint type"))?),
            "-e" => encoding = version(value)?,
            "-v" => {
                let decoded = STANDARD.decode(value).map_err(|error| format!("`-v`: {error}"))?;
                bytes = Some(Bytes::from(decoded));
            }
            other => return Err(format!("opaque has no option {other}")),
        }
    }
    match (number, bytes) {
        (Some(number), Some(bytes)) => Ok(Endpoint::Opaque(OpaqueEndpoint { number, encoding, bytes })),
        _ => Err("opaque wants -t and -v".to_owned()),
    }
}

/// `1.1` as two numbers.
pub(crate) fn version(text: &str) -> Result<[u8; 2], String> {
    let numbers =
        text.split_once('.').and_then(|(major, minor)| Some([major.parse().ok()?, minor.parse().ok()?]));
    numbers.ok_or_else(|| format!("`{text}` is no version, such as 1.1"))
}
