//! Messages as they were seen on the wire, and as nobody should send them.

use bytes::{BufMut as _, Bytes, BytesMut};
use proptest::prelude::*;

use super::message::reply_body;
use super::*;
use crate::encoding::{DecodeLimits, Decoder, Encoding, Format, Objects, Raised, Ref, Registry, Sliced};
use crate::{Identity, Reference};

const CONVERSATION: &str = include_str!("golden/conversation.txt");
const LIMIT: usize = 1 << 20;
const LIMITS: DecodeLimits = DecodeLimits { memory: 1 << 20, depth: 100 };

/// Whether the client sent it, and the bytes.
fn conversation() -> impl Iterator<Item = (bool, Bytes)> {
    CONVERSATION.lines().filter_map(|line| line.split_once(' ')).filter(|(mark, _)| *mark != "#").map(
        |(mark, hex)| {
            let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            (mark == ">", (0..hex.len()).step_by(2).map(byte).collect())
        },
    )
}

fn framed(bytes: &[u8], piece: usize) -> Result<Vec<Message>, ProtocolError> {
    let mut framer = Framer::new(LIMIT);
    let mut messages = Vec::new();
    let mut rest = bytes;
    loop {
        while let Some(message) = framer.next_message()? {
            messages.push(message);
        }
        if rest.is_empty() {
            return Ok(messages);
        }
        let mut space = framer.space();
        let taken = rest.len().min(piece).min(space.remaining_mut());
        assert!(taken > 0, "there is always room");
        space.put_slice(&rest[..taken]);
        rest = &rest[taken..];
    }
}

fn bytes_of(message: &OutgoingMessage) -> Bytes {
    let bytes: Vec<u8> = message.pieces_from(0).flatten().copied().collect();
    assert_eq!(bytes.len(), message.len());
    bytes.into()
}

#[test]
fn what_was_seen_is_read_and_written_the_same() {
    let mut seen = 0;
    for (sent, bytes) in conversation() {
        let message = framed(&bytes, usize::MAX).unwrap().remove(0);
        let again = match message.message {
            MessageType::Request => {
                let request = Request::decode(message.body, LIMITS).unwrap();
                let outgoing = OutgoingRequest {
                    identity: &request.identity,
                    facet: &request.facet,
                    operation: &request.operation,
                    mode: request.mode,
                    context: &request.context,
                    encoding: request.encoding,
                    format: Format::Compact,
                };
                // A dictionary has no order; ours is the alphabet's.
                if request.context.len() > 1 {
                    continue;
                }
                let body = outgoing.body(None, |encoder| encoder.raw(&request.parameters)).unwrap();
                OutgoingMessage::numbered(MessageType::Request, message.compression, request.id, body)
            }
            MessageType::Reply => {
                let reply = Reply::decode(message.body, LIMITS).unwrap();
                let body = match &reply.outcome {
                    Outcome::Results(encoding, bytes) => {
                        reply_body(false, *encoding, Format::Compact, None, |encoder| encoder.raw(bytes))
                    }
                    Outcome::Raised(encoding, bytes) => {
                        reply_body(true, *encoding, Format::Compact, None, |encoder| encoder.raw(bytes))
                    }
                    Outcome::Fault(fault) => fault.body(),
                };
                OutgoingMessage::numbered(MessageType::Reply, message.compression, reply.id, body.unwrap())
            }
            other => OutgoingMessage::bare(other),
        };
        assert_eq!(bytes_of(&again), bytes, "sent: {sent}");
        seen += 1;
    }
    assert!(seen > 15, "only {seen} messages were compared");
}

crate::sliced! {
    struct RType = "::omero::RType" {}
    struct RString: RType = "::omero::RString" { val: String }
    struct RLong: RType = "::omero::RLong" { val: i64 }
    struct RInt: RType = "::omero::RInt" { val: i32 }
    struct ServerError = "::omero::ServerError" { trace: String, class: String, message: String }
    struct ApiUsage: ServerError = "::omero::ApiUsageException" {}
    struct Validation: ApiUsage = "::omero::ValidationException" {}
}

fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.class::<RString>().class::<RLong>().class::<RInt>();
    registry.exception::<ServerError>().exception::<Validation>();
    registry
}

fn outcomes() -> Vec<Outcome> {
    let replies =
        conversation().filter(|(sent, _)| !sent).flat_map(|(_, bytes)| framed(&bytes, usize::MAX).unwrap());
    let replies = replies.filter(|message| message.message == MessageType::Reply);
    replies.map(|message| Reply::decode(message.body, LIMITS).unwrap().outcome).collect()
}

fn value_of(objects: &Objects, instance: Ref<RType>) -> String {
    let texts = [
        objects.get::<RString>(instance).map(|string| string.val.clone()),
        objects.get::<RLong>(instance).map(|long| long.val.to_string()),
        objects.get::<RInt>(instance).map(|int| int.val.to_string()),
    ];
    texts.into_iter().flatten().next().unwrap()
}

#[test]
fn a_servers_instances_are_read_and_written_the_same() {
    let registry = registry();
    let projection = outcomes().into_iter().find_map(|outcome| match outcome {
        Outcome::Results(encoding, bytes)
            if bytes.windows(8).any(|window| window == &b"\x09\x01\x01\x10::om"[..]) =>
        {
            Some((encoding, bytes))
        }
        _ => None,
    });
    let (encoding, bytes) = projection.unwrap();
    let mut decoder = Decoder::new(bytes.clone(), encoding, &registry, LIMITS);
    let rows: Vec<Vec<Option<Ref<RType>>>> = decoder.value().unwrap();
    let objects = decoder.finish(true).unwrap();
    let told: Vec<String> =
        rows[0].iter().map(|cell| cell.map_or("null".to_owned(), |cell| value_of(&objects, cell))).collect();
    assert_eq!(told, ["img", "42", "300", "200", "1", "2", "1", "uint16", "null"]);
    let again =
        reply_body(false, encoding, Format::Compact, Some(&objects), |encoder| encoder.value(&rows)).unwrap();
    assert_eq!(again.to_bytes().slice(7..), bytes);
}

#[test]
fn a_servers_exception_is_read_and_written_the_same() {
    let raised = outcomes().into_iter().find_map(|outcome| match outcome {
        Outcome::Raised(encoding, bytes) => Some((encoding, bytes)),
        _ => None,
    });
    let (encoding, bytes) = raised.unwrap();
    let raised = Raised::decode(bytes.clone(), encoding, &registry(), LIMITS).unwrap();
    assert_eq!(raised.type_id(), "::omero::ValidationException");
    let error: &ServerError = raised.get().unwrap();
    assert_eq!(
        (error.class.as_str(), error.message.as_str()),
        ("ome.conditions.ValidationException", "no pixels 1")
    );
    let exception: &dyn Sliced = raised.exception().unwrap();
    let again =
        reply_body(true, encoding, Format::Compact, None, |encoder| encoder.exception(exception, false));
    assert_eq!(again.unwrap().to_bytes().slice(7..), bytes);
}

#[test]
fn a_sessions_proxy_and_a_missing_operation_are_understood() {
    let registry = registry();
    let session = outcomes().into_iter().find_map(|outcome| match outcome {
        Outcome::Results(encoding, bytes) if bytes.len() == 0x73 - 6 => {
            Decoder::new(bytes, encoding, &registry, LIMITS).value::<Option<Reference>>().ok()?
        }
        _ => None,
    });
    assert_eq!(
        session.unwrap().to_string(),
        "a0982399-2f5f-4422-b918-d61986c0ff40/c3550f0c-01d1-47f8-8eff-53e53826db5a -t -e 1.1:tcp -h 127.0.0.1 -p 14100 -t 60000"
    );
    assert!(outcomes().iter().any(|outcome| matches!(
        outcome,
        Outcome::Fault(Fault::OperationNotExist { operation, .. }) if operation == "nope"
    )));
}

#[test]
fn a_stream_is_the_same_in_whatever_pieces_it_comes() {
    let body =
        crate::encoding::Payload::from(Bytes::from((0..100_000u32).map(|n| n as u8).collect::<Vec<_>>()));
    let long = OutgoingMessage::numbered(MessageType::Reply, Compression::Unsupported, 7, body);
    let mut stream = BytesMut::new();
    for message in
        [&OutgoingMessage::bare(MessageType::Validate), &long, &OutgoingMessage::bare(MessageType::Close)]
    {
        stream.put_slice(&bytes_of(message));
        conversation().take(4).for_each(|(_, bytes)| stream.put_slice(&bytes));
    }
    let whole = framed(&stream, usize::MAX).unwrap();
    assert_eq!(whole.len(), 15);
    for piece in [1, 13, 14, 15, 4095, 4096, 4097] {
        assert_eq!(framed(&stream, piece).unwrap(), whole, "{piece}");
    }
}

#[test]
fn a_header_that_lies_is_refused() {
    let header = |edit: &dyn Fn(&mut [u8; HEADER])| {
        let mut bytes =
            Header { message: MessageType::Reply, compression: Compression::Unsupported, size: 20 }
                .to_bytes();
        edit(&mut bytes);
        framed(&bytes, usize::MAX).unwrap_err()
    };
    assert!(matches!(header(&|bytes| bytes[..4].copy_from_slice(b"HTTP")), ProtocolError::Magic(_)));
    assert!(matches!(header(&|bytes| bytes[4] = 2), ProtocolError::Version { what: "protocol", .. }));
    assert!(matches!(header(&|bytes| bytes[7] = 1), ProtocolError::Version { .. }));
    assert!(matches!(header(&|bytes| bytes[8] = 5), ProtocolError::Type(5)));
    assert!(matches!(header(&|bytes| bytes[9] = 3), ProtocolError::Compression(3)));
    assert!(matches!(header(&|bytes| bytes[10] = 13), ProtocolError::TooSmall(13)));
    assert!(matches!(header(&|bytes| bytes[13] = 0xFF), ProtocolError::TooSmall(_)));
    // 2 GB.
    let too_large = header(&|bytes| bytes[10..].copy_from_slice(&i32::MAX.to_le_bytes()));
    assert_eq!(too_large, ProtocolError::TooLarge { size: i32::MAX as usize, limit: LIMIT });
}

#[test]
fn a_size_alone_costs_little() {
    let mut framer = Framer::new(usize::MAX);
    let header = Header { message: MessageType::Reply, compression: Compression::Unsupported, size: 1 << 30 };
    framer.space().put_slice(&header.to_bytes());
    assert_eq!(framer.next_message(), Ok(None));
    assert!(framer.space().get_ref().capacity() <= 1 << 20);
}

fn compressed(content: &[u8], says: usize) -> Bytes {
    let mut stream = Vec::with_capacity(content.len() + 1000);
    let mut compress = bzip2::Compress::new(bzip2::Compression::fast(), 0);
    while compress.compress_vec(content, &mut stream, bzip2::Action::Finish).unwrap()
        != bzip2::Status::StreamEnd
    {}
    [&i32::try_from(says).unwrap().to_le_bytes()[..], &stream].concat().into()
}

#[test]
fn what_is_compressed_is_read_and_has_the_size_that_it_says() {
    let content = vec![3; 100_000];
    let size = content.len() + HEADER;
    assert_eq!(decompress(&compressed(&content, size), LIMIT).unwrap(), content);
    for (body, problem) in [
        (compressed(&content, size - 1), "larger"),
        (compressed(&content, size + 1), "smaller"),
        (compressed(&content, size).slice(..40), "early"),
        (compressed(&content, LIMIT + 1), "allowed"),
        (Bytes::from_static(b"\x20\0\0\0not bzip2"), "no bzip2"),
        (Bytes::from_static(b"\x20\0"), "no size"),
        (Bytes::from_static(b"\x20\0\0\0"), "early"),
        (Bytes::from_static(b"\x0d\0\0\0"), "14"),
    ] {
        let error = decompress(&body, LIMIT).unwrap_err().to_string();
        assert!(error.contains(problem), "{problem}: {error}");
    }
    // A bomb of 60 MB in some bytes stops at what it says.
    assert!(decompress(&compressed(&vec![0; 60_000_000], 10_000), LIMIT).is_err());
}

#[test]
fn a_batch_is_read_one_by_one() {
    let identity = Identity::named("a");
    let context = super::message::Context::new();
    let body = |operation| {
        let request = OutgoingRequest {
            identity: &identity,
            facet: "f",
            operation,
            mode: message::Mode::Normal,
            context: &context,
            encoding: Encoding::V1_1,
            format: Format::Compact,
        };
        request.body(None, |encoder| encoder.int(1)).unwrap()
    };
    let joined: crate::encoding::Payload = [body("one"), body("two")].into_iter().collect();
    let message = OutgoingMessage::numbered(MessageType::Batch, Compression::Unsupported, 2, joined);
    let bytes = bytes_of(&message);
    let mut batch = Batch::decode(bytes.slice(HEADER..), LIMITS).unwrap();
    let operations: Vec<_> =
        std::iter::from_fn(|| batch.next_request().unwrap()).map(|request| request.operation).collect();
    assert_eq!(operations, ["one", "two"]);
    let more = [&3i32.to_le_bytes()[..], &bytes[HEADER + 4..]].concat();
    let mut batch = Batch::decode(more.into(), LIMITS).unwrap();
    assert!(batch.next_request().is_ok() && batch.next_request().is_ok() && batch.next_request().is_err());
    assert!(Batch::decode(Bytes::from_static(b"\xff\xff\xff\x7f"), LIMITS).is_err());
}

proptest! {
    #[test]
    fn any_stream_is_cut_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100), at in 0usize..60) {
        let mut stream = conversation().nth(1).unwrap().1.to_vec();
        stream.truncate(at);
        stream.extend(bytes);
        if let Ok(messages) = framed(&stream, 7) {
            for message in messages {
                let _ = Request::decode(message.body.clone(), LIMITS);
                let _ = Reply::decode(message.body.clone(), LIMITS);
                if let Ok(mut batch) = Batch::decode(message.body, LIMITS) {
                    while let Ok(Some(_)) = batch.next_request() {}
                }
            }
        }
    }
}
