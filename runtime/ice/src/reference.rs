//! What a proxy says: which object, how to call it, where it is ("Proxy and Endpoint Syntax", "Data Encoding for Proxies").
//!
//! A [`Reference`] is a value: it can be printed, read, sent. To call the object it means, give it to a
//! [`Communicator`](crate::Communicator).

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::encoding::{Decode, DecodeError, Decoder, Encode, Encoder, Encoding, WireType};
use crate::endpoint::{self, Endpoint};
use crate::identity::{Identity, IdentityError, escape, quoted, unescape};

/// How an object is called through a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum InvocationMode {
    /// A reply is waited for (`-t`).
    #[default]
    Twoway,
    /// Nothing is waited for (`-o`).
    Oneway,
    /// Several at once, nothing is waited for (`-O`).
    BatchOneway,
    /// As a datagram (`-d`).
    Datagram,
    /// Several in one datagram (`-D`).
    BatchDatagram,
}

impl InvocationMode {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Twoway, "-t"),
        (Self::Oneway, "-o"),
        (Self::BatchOneway, "-O"),
        (Self::Datagram, "-d"),
        (Self::BatchDatagram, "-D"),
    ];
}

/// Where the object is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// At one of these endpoints, one at least.
    Direct(Vec<Endpoint>),
    /// With the adapter of this id: a locator knows where that is.
    Adapter(String),
    /// A locator knows the object by its identity.
    WellKnown,
}

/// Which object, how to call it, where it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Which object.
    pub identity: Identity,
    /// Which of its facets; most have none but the empty one.
    pub facet: String,
    /// How it is called.
    pub mode: InvocationMode,
    /// Whether only secure endpoints may be used (`-s`).
    pub secure: bool,
    /// The protocol's version.
    pub protocol: [u8; 2],
    /// The version in which parameters are sent.
    pub encoding: Encoding,
    /// Where it is.
    pub address: Address,
}

impl Reference {
    /// A two-way reference to an object.
    #[must_use]
    pub const fn new(identity: Identity, address: Address) -> Self {
        Self {
            identity,
            facet: String::new(),
            mode: InvocationMode::Twoway,
            secure: false,
            protocol: [1, 0],
            encoding: Encoding::V1_1,
            address,
        }
    }

    /// One at this endpoint.
    #[must_use]
    pub fn direct(identity: Identity, endpoint: impl Into<Endpoint>) -> Self {
        Self::new(identity, Address::Direct(vec![endpoint.into()]))
    }

    /// Its endpoints; none where a locator has to be asked.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        match &self.address {
            Address::Direct(endpoints) => endpoints,
            Address::Adapter(_) | Address::WellKnown => &[],
        }
    }

    /// The same object somewhere else.
    #[must_use]
    pub fn at(&self, address: Address) -> Self {
        Self { address, ..self.clone() }
    }

    /// The same object, called in another way.
    #[must_use]
    pub fn called(&self, mode: InvocationMode) -> Self {
        Self { mode, ..self.clone() }
    }
}

/// As Ice prints it: `Processor -t -e 1.1 @ Processor-0.ProcessorAdapter`.
impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&quoted(&self.identity.to_string()))?;
        if !self.facet.is_empty() {
            write!(formatter, " -f {}", quoted(&escape(&self.facet, "/")))?;
        }
        let mode = InvocationMode::ALL.iter().find(|(mode, _)| *mode == self.mode);
        write!(formatter, " {}", mode.map_or("-t", |(_, option)| option))?;
        if self.secure {
            formatter.write_str(" -s")?;
        }
        if self.protocol != [1, 0] {
            let [major, minor] = self.protocol;
            write!(formatter, " -p {major}.{minor}")?;
        }
        write!(formatter, " -e {}", self.encoding)?;
        match &self.address {
            Address::Direct(endpoints) => {
                endpoints.iter().try_for_each(|endpoint| write!(formatter, ":{endpoint}"))
            }
            Address::Adapter(id) => write!(formatter, " @ {}", quoted(&escape(id, ""))),
            Address::WellKnown => Ok(()),
        }
    }
}

/// Why a text is no proxy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is no proxy: {problem}; one is `category/name:tcp -h host -p port` or `name @ adapter`")]
pub struct ReferenceError {
    text: String,
    problem: String,
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        parse(text).map_err(|problem| ReferenceError { text: text.to_owned(), problem })
    }
}

fn parse(text: &str) -> Result<Reference, String> {
    let sections = sections(text)?;
    let Some((Section { words, .. }, rest)) = sections.split_first() else {
        return Err("it is empty".to_owned());
    };
    let Some((identity, options)) = words.split_first() else { return Err("it has no identity".to_owned()) };
    let identity: Identity = identity.parse().map_err(|error: IdentityError| error.to_string())?;
    if identity.is_empty() {
        return Err("its identity is empty".to_owned());
    }
    let mut reference = Reference::new(identity, Address::WellKnown);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let mut value = || options.next().ok_or_else(|| format!("{option} wants a value"));
        match option.as_str() {
            "-f" => reference.facet = unescape(value()?)?,
            "-s" => reference.secure = true,
            "-e" => {
                reference.encoding =
                    Encoding::of(endpoint::version(value()?)?).map_err(|error| error.to_string())?;
            }
            "-p" => reference.protocol = endpoint::version(value()?)?,
            other => {
                let mode = InvocationMode::ALL.iter().find(|(_, option)| *option == other);
                reference.mode =
                    mode.ok_or_else(|| format!("it has an option {other} that means nothing"))?.0;
            }
        }
    }
    reference.address = match rest {
        [] => Address::WellKnown,
        [Section { mark: '@', words }] => match words.as_slice() {
            [id] => Address::Adapter(unescape(id)?),
            _ => return Err("behind `@` stands one adapter id".to_owned()),
        },
        endpoints if endpoints.iter().all(|section| section.mark == ':') => Address::Direct(
            endpoints.iter().map(|section| endpoint::parse(&section.words)).collect::<Result<_, _>>()?,
        ),
        _ => return Err("it has both endpoints and an adapter".to_owned()),
    };
    Ok(reference)
}

/// What stands between marks, and the mark before it.
struct Section {
    mark: char,
    words: Vec<String>,
}

/// Parts a text at `:` and `@` that are in no quotes, and each part at blanks.
fn sections(text: &str) -> Result<Vec<Section>, String> {
    let mut sections = vec![Section { mark: ' ', words: Vec::new() }];
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, quote) {
            ('\\', _) => {
                let escaped = characters.next().ok_or("a `\\` stands at its end")?;
                let word = word.get_or_insert_default();
                // A quote that the other kind of quotes would have kept: of no meaning behind this.
                if !matches!(escaped, '"' | '\'') {
                    word.push('\\');
                }
                word.push(escaped);
            }
            (_, Some(open)) if character == open => quote = None,
            (_, Some(_)) => word.get_or_insert_default().push(character),
            ('"' | '\'', None) => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (' ' | '\t' | '\n' | '\r' | ':' | '@', None) => {
                if let (Some(word), Some(section)) = (word.take(), sections.last_mut()) {
                    section.words.push(word);
                }
                if matches!(character, ':' | '@') {
                    sections.push(Section { mark: character, words: Vec::new() });
                }
            }
            (_, None) => word.get_or_insert_default().push(character),
        }
    }
    if quote.is_some() {
        return Err("a quote does not end".to_owned());
    }
    if let (Some(word), Some(section)) = (word, sections.last_mut()) {
        section.words.push(word);
    }
    Ok(sections)
}

/// A proxy as a parameter, result or member: null, or a reference.
impl WireType for Option<Reference> {
    const SHORTEST: usize = 2;
}

impl Encode for Option<Reference> {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        match self {
            None => Identity::default().encode(encoder),
            Some(reference) => reference.encode(encoder),
        }
    }
}

impl Decode for Option<Reference> {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let identity = Identity::decode(decoder)?;
        if identity.is_empty() {
            return Ok(None);
        }
        let facet = match decoder.count("facet path", 1)? {
            0 => String::new(),
            1 => decoder.string()?,
            _ => return Err(DecodeError::Contradiction("a proxy has more than one facet")),
        };
        let mode = decoder.byte()?;
        let known = InvocationMode::ALL.get(usize::from(mode)).map(|(mode, _)| *mode);
        let mode = known.ok_or(DecodeError::Value { what: "an invocation mode", value: i64::from(mode) })?;
        let secure = decoder.bool()?;
        let (protocol, encoding) = match decoder.encoding() {
            Encoding::V1_0 => ([1, 0], Encoding::V1_0),
            Encoding::V1_1 => {
                let protocol = [decoder.byte()?, decoder.byte()?];
                (protocol, Encoding::of([decoder.byte()?, decoder.byte()?])?)
            }
        };
        let count = decoder.count("endpoints", Endpoint::SHORTEST)?;
        let address = if count > 0 {
            Address::Direct(Endpoint::decode_all(count, decoder)?)
        } else {
            match decoder.string()? {
                id if id.is_empty() => Address::WellKnown,
                id => Address::Adapter(id),
            }
        };
        Ok(Some(Reference { identity, facet, mode, secure, protocol, encoding, address }))
    }
}

impl WireType for Reference {
    const SHORTEST: usize = 2;
}

impl Encode for Reference {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        self.identity.encode(encoder);
        encoder.size("facet path", usize::from(!self.facet.is_empty()));
        if !self.facet.is_empty() {
            encoder.string(&self.facet);
        }
        let mode = InvocationMode::ALL.iter().position(|(mode, _)| *mode == self.mode);
        encoder.byte(mode.and_then(|mode| u8::try_from(mode).ok()).unwrap_or_default());
        encoder.bool(self.secure);
        if encoder.encoding() == Encoding::V1_1 {
            encoder.raw(&self.protocol);
            encoder.raw(&self.encoding.numbers());
        }
        encoder.size("endpoints", self.endpoints().len());
        self.endpoints().iter().for_each(|endpoint| endpoint.encode(encoder));
        match &self.address {
            Address::Direct(endpoints) if !endpoints.is_empty() => {}
            Address::Adapter(id) => encoder.string(id),
            Address::Direct(_) | Address::WellKnown => encoder.string(""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{NetworkEndpoint, Transport};

    #[test]
    fn what_ice_prints_is_read_and_printed_the_same() {
        for text in [
            "Processor -t -e 1.1 @ Processor-0.ProcessorAdapter",
            "IceGrid/Query -t -e 1.1",
            "OMERO.Glacier2/router -t -e 1.1:tcp -h 127.0.0.1 -p 4063 -t 60000:ssl -h 127.0.0.1 -p 4064 -t 60000",
            "a -f facet -o -s -e 1.0:ssl -h host -p 1 -t infinite -z",
            "a -t -e 1.1:tcp -h \"a\rb'c\" -p 1 -t 2",
            "\"a b\" -t -e 1.1:tcp -h \"::1\" -p 10000 -t 60000",
            "\"a:b\" -O -e 1.1 @ \"the adapter\"",
            "a -d -e 1.1:udp -h 239.255.1.1 -p 10000",
            "a -t -e 1.1:ws -h host -p 4065 -r /omero -t 60000",
            "a -t -e 1.1:opaque -t 99 -e 1.1 -v AQIDBA==",
            "\"vh6}Xe@h9>-|}a(a\\/0'!/06fbdcd2\" -t -e 1.1",
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
            assert_eq!(reference.to_string().parse(), Ok(reference));
        }
    }

    #[test]
    fn what_people_write_is_read() {
        let reference: Reference = "IceGrid/Locator:default -p 4061 -h omero-master".parse().unwrap();
        assert_eq!(
            reference,
            Reference::direct(
                Identity::new("IceGrid", "Locator"),
                NetworkEndpoint::tcp("omero-master", 4061)
            )
        );
        let everywhere: Reference = "a:ssl -h *".parse().unwrap();
        assert_eq!(everywhere.endpoints(), [NetworkEndpoint::new(Transport::Ssl, "", 0).into()]);
        let spaced: Reference = " 'a b'  :  tcp -h h".parse().unwrap();
        assert_eq!(spaced.identity.name, "a b");
    }

    #[test]
    fn what_is_no_proxy_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "identity"),
            (":tcp -h a", "identity"),
            ("a:carrier-pigeon -h b", "no transport"),
            ("a:tcp -p 99999", "no port"),
            ("a:tcp -h", "wants a value"),
            ("a:", "endpoint is empty"),
            ("a @ b:tcp -h c", "both"),
            ("a @ b c", "one adapter id"),
            ("a -q", "-q"),
            ("a -e 2.0", "2.0"),
            ("\"a", "quote"),
        ] {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
