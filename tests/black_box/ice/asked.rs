//! The crate asks, ZeroC's server answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use biomero_ice::adapter::Answering;
use biomero_ice::encoding::{Encoding, Format, Handle, Objects, Ref};
use biomero_ice::protocol::Fault;
use biomero_ice::{
    Call, CallError, Communicator, Connection, Identity, Mode, NetworkEndpoint, Options, Proxy, Reference,
    Servant,
};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, ice};
use bytes::Bytes;

use super::definitions::{Circle, Colour, Everything, Point, Problem, Ring, Shape, ShapeProblem};
use super::peer::{as_sent, everything, swapped};
use super::trouble;

/// Asks a server in Python.
fn ask<F: Future<Output = Result<()>>>(options: Options, work: impl FnOnce(Proxy) -> F) -> Result<()> {
    let scratch = Scratch::new()?;
    let server = ice::Server::start(scratch.path(), &[])?;
    super::run(async move {
        let communicator = Communicator::new(options);
        let proxy = communicator.parse(server.proxy()).map_err(|error| Trouble::new(error.to_string()))?;
        work(proxy).await
    })
}

#[test]
fn what_every_object_can_be_asked() -> Result<()> {
    ask(super::options(), |peer| async move {
        let what = trouble("a basic operation");
        peer.ice_ping().await.map_err(&what)?;
        assert_eq!(peer.ice_id().await.map_err(&what)?, "::Test::Peer");
        assert_eq!(peer.ice_ids().await.map_err(&what)?, ["::Ice::Object", "::Test::Base", "::Test::Peer"]);
        assert!(peer.ice_is_a("::Test::Base").await.map_err(&what)?);
        assert!(!peer.ice_is_a("::Test::Callback").await.map_err(&what)?);
        let context = BTreeMap::from([("a".to_owned(), "b".to_owned()), ("é".to_owned(), String::new())]);
        let told = peer
            .operation("context", Mode::Idempotent)
            .context(&context)
            .call(|_| {})
            .await
            .map_err(&what)?;
        assert_eq!(told.value::<BTreeMap<String, String>>().map_err(&what)?, context);
        let nobody = peer.of(Reference { identity: Identity::named("nobody"), ..peer.reference().clone() });
        assert!(nobody.ice_ping().await.is_err_and(|error| error.is_object_gone()));
        let facet = peer.of(Reference { facet: "none".to_owned(), ..peer.reference().clone() });
        let error = facet.ice_ping().await.err();
        assert!(
            matches!(error.as_ref().and_then(CallError::fault), Some(Fault::FacetNotExist { .. })),
            "{error:?}"
        );
        let error = peer.call("nope", Mode::Normal, |_| {}).await.err();
        assert!(
            matches!(error.as_ref().and_then(CallError::fault), Some(Fault::OperationNotExist { .. })),
            "{error:?}"
        );
        Ok(())
    })
}

#[test]
fn every_type_in_both_versions() -> Result<()> {
    ask(super::options(), |peer| async move {
        for encoding in [Encoding::V1_1, Encoding::V1_0] {
            let peer = peer.with_encoding(encoding);
            let what = trouble("swap");
            let said = peer.call("encoding", Mode::Idempotent, |_| {}).await.map_err(&what)?;
            assert_eq!(said.value::<String>().map_err(&what)?, encoding.to_string());
            let sent = everything();
            let results =
                peer.call("swap", Mode::Normal, |encoder| encoder.value(&sent)).await.map_err(&what)?;
            let (other, same): (Everything, Everything) = results.value().map_err(&what)?;
            let sent = as_sent(&sent, encoding);
            assert_eq!(same, sent);
            assert_eq!(other, swapped(&sent));
        }
        Ok(())
    })
}

/// A cyclic graph, and what is sent of it.
fn graph() -> (Objects, Vec<Option<Ref<Shape>>>) {
    let mut objects = Objects::new();
    let shape = objects.add(Shape {
        name: "a".to_owned(),
        next: None,
        shade: Some(Colour::Green),
        note: Some("n".repeat(300)),
    });
    let circle = objects.add(Circle {
        base: Shape { name: "b".to_owned(), next: Some(shape), ..Shape::default() },
        radius: 1.5,
        friends: vec![Some(shape), None, Some(shape)],
    });
    let ring = objects.add(Ring {
        base: Circle { radius: 3.0, ..Circle::default() },
        hole: 2.0,
        inner: Some(circle),
        place: Some(Point { x: 1, y: -1 }),
    });
    if let Some(first) = objects.get_mut::<Shape>(shape) {
        first.next = Some(ring.handle().into());
    }
    (objects, vec![Some(ring.handle().into()), None, Some(circle.handle().into()), Some(shape)])
}

#[test]
fn cyclic_graphs_in_both_versions_and_formats() -> Result<()> {
    ask(super::options(), |peer| async move {
        for (encoding, operation, format) in [
            (Encoding::V1_1, "compact", Format::Compact),
            (Encoding::V1_1, "sliced", Format::Sliced),
            (Encoding::V1_0, "compact", Format::Compact),
        ] {
            let what = trouble(operation);
            let peer = peer.with_encoding(encoding);
            let (objects, sent) = graph();
            let call = peer.operation(operation, Mode::Normal).format(format).objects(&objects);
            let results = call.call(|encoder| encoder.value(&sent)).await.map_err(&what)?;
            let (back, others): (Vec<Option<Ref<Shape>>>, _) = results.value_with_objects().map_err(&what)?;
            let [Some(ring), None, Some(circle), Some(shape)] = back[..] else { panic!("{back:?}") };
            assert_eq!(others.len(), 3);
            let told =
                others.get::<Ring>(ring).zip(others.get::<Circle>(circle)).zip(others.get::<Shape>(shape));
            let Some(((ring_told, circle_told), shape_told)) = told else { panic!("{others:?}") };
            assert_eq!(ring_told.inner.map(Ref::handle), Some(circle.handle()));
            assert_eq!(circle_told.base.next, Some(shape));
            assert_eq!(circle_told.friends, [Some(shape), None, Some(shape)]);
            assert_eq!(shape_told.next, Some(ring));
            if encoding == Encoding::V1_1 {
                assert_eq!(ring_told.place, Some(Point { x: 1, y: -1 }));
                assert_eq!(
                    (shape_told.shade, shape_told.note.as_deref()),
                    (Some(Colour::Green), Some(&*"n".repeat(300)))
                );
                assert_eq!(ring_told.base.base.note, None);
            }
            let nothing: Vec<Option<Ref<Shape>>> = Vec::new();
            let results =
                peer.call(operation, Mode::Normal, |encoder| encoder.value(&nothing)).await.map_err(&what)?;
            assert_eq!(results.value::<Vec<Option<Ref<Shape>>>>().map_err(&what)?, nothing);
        }
        Ok(())
    })
}

#[test]
fn a_class_that_is_not_known_here_is_cut_to_its_base_and_passed_on_whole() -> Result<()> {
    ask(super::options(), |peer| async move {
        let what = trouble("same");
        let results = peer.call("secret", Mode::Normal, |_| {}).await.map_err(&what)?;
        let (secret, objects): (Option<Handle>, _) = results.value_with_objects().map_err(&what)?;
        let Some(secret) = secret else { panic!("null") };
        assert_eq!(objects.type_id(secret).as_deref(), Some("::Test::Secret"));
        let circle = objects.get::<Circle>(secret).map(|circle| (circle.base.name.as_str(), circle.radius));
        assert_eq!(circle, Some(("cover", 2.5)));
        // The server looks whether all of it is there.
        let same = peer.operation("same", Mode::Normal).format(Format::Sliced).objects(&objects);
        same.call(|encoder| encoder.instance(Some(secret))).await.map_err(&what)?;

        let results =
            peer.call("same", Mode::Normal, |encoder| encoder.instance(None)).await.map_err(&what)?;
        let (stranger, objects): (Option<Handle>, _) = results.value_with_objects().map_err(&what)?;
        assert_eq!(
            stranger.and_then(|stranger| objects.type_id(stranger)).as_deref(),
            Some("::Test::Stranger")
        );
        let same = peer.operation("same", Mode::Normal).format(Format::Sliced).objects(&objects);
        same.call(|encoder| encoder.instance(stranger)).await.map_err(&what)?;

        let results = peer.call("compactSecret", Mode::Normal, |_| {}).await.map_err(&what)?;
        let error =
            results.value_with_objects::<Option<Handle>>().map(drop).map_err(|error| error.to_string());
        assert!(
            error.as_ref().is_err_and(|error| error.contains("::Test::Secret is not known here")),
            "{error:?}"
        );
        Ok(())
    })
}

#[test]
fn optional_parameters_and_results() -> Result<()> {
    ask(super::options(), |peer| async move {
        let what = trouble("optionals");
        let mut objects = Objects::new();
        let shape = objects.add(Shape { name: "optional".to_owned(), ..Shape::default() });
        for given in [true, false] {
            let call = peer.operation("optionals", Mode::Normal).objects(&objects);
            let results = call.call(|encoder| {
                encoder.int(1);
                encoder.optional(2, given.then_some("text"));
                encoder.optional(3, given.then(|| vec![Point { x: 1, y: 2 }]).as_ref());
                encoder.optional(4, given.then_some(&Colour::Blue));
                encoder.optional(5, given.then_some(&Some(shape)));
                encoder.optional(6, given.then(|| BTreeMap::from([("a".to_owned(), 1)])).as_ref());
                encoder.optional(7, given.then(|| vec![0.5]).as_ref());
            });
            let results = results.await.map_err(&what)?;
            let read = results.read(false, |decoder| {
                Ok((
                    decoder.optional(1)?,
                    decoder.optional(12)?,
                    decoder.optional(13)?,
                    decoder.optional(17)?,
                ))
            });
            let ((sum, text, places, samples), _) = read.map_err(&what)?;
            assert_eq!(sum, Some(if given { 1 } else { 7 }));
            assert_eq!(text, given.then(|| "text".to_owned()));
            assert_eq!(places, given.then(|| vec![Point { x: 1, y: 2 }]));
            assert_eq!(samples, given.then(|| vec![0.5]));
        }
        Ok(())
    })
}

#[test]
fn exceptions_in_both_versions_and_formats() -> Result<()> {
    ask(super::options(), |peer| async move {
        for (encoding, operation) in
            [(Encoding::V1_1, "fail"), (Encoding::V1_1, "failSliced"), (Encoding::V1_0, "fail")]
        {
            let peer = peer.with_encoding(encoding);
            let fail = async |kind: &str| match peer
                .call(operation, Mode::Normal, |encoder| encoder.string(kind))
                .await
            {
                Err(error) => Ok(error),
                Ok(_) => Err(Trouble::new(format!("{operation} {kind} raised nothing"))),
            };
            let plain = fail("base").await?;
            assert_eq!(
                plain.raised::<Problem>().map(|problem| problem.message.as_str()),
                Some("plain"),
                "{plain}"
            );
            let shape = fail("shape").await?;
            let problem = shape.raised::<ShapeProblem>();
            assert_eq!(problem.map(|problem| problem.base.message.as_str()), Some("derived"), "{shape}");
            let CallError::Raised { raised, .. } = &shape else { panic!("{shape}") };
            let subject = problem.and_then(|problem| raised.objects().get::<Circle>(problem.subject?));
            assert_eq!(subject.map(|circle| circle.radius), Some(4.0));
            let secret = fail("secret").await?;
            assert_eq!(secret.raised_type(), Some("::Test::SecretProblem"), "{secret}");
            // Compact, its slice has no size: what follows it cannot be found.
            let base = secret.raised::<Problem>().map(|problem| problem.message.as_str());
            assert_eq!(base.is_some(), operation == "failSliced" || encoding == Encoding::V1_0, "{secret}");
            let unknown = fail("unknown").await?;
            assert!(
                matches!(unknown.fault(), Some(Fault::Unknown(text)) if text.contains("not declared")),
                "{unknown}"
            );
            assert!(fail("gone").await?.is_object_gone());
        }
        Ok(())
    })
}

#[test]
fn oneway_calls_batches_deadlines_and_calls_at_the_same_time() -> Result<()> {
    ask(super::options(), |peer| async move {
        let what = trouble("count");
        peer.operation("count", Mode::Normal).oneway(|encoder| encoder.int(1)).await.map_err(&what)?;
        let mut batch = peer.batch();
        for _ in 0..100 {
            batch.add("count", Mode::Normal, |encoder| encoder.int(2)).map_err(&what)?;
        }
        batch.send().await.map_err(&what)?;
        // The server counts with several threads: one may answer while others still count.
        let mut counted = 0;
        for _ in 0..500 {
            let results = peer.call("counted", Mode::Idempotent, |_| {}).await.map_err(&what)?;
            counted = results.value::<i32>().map_err(&what)?;
            if counted == 201 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(counted, 201);
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..100u8 {
            let peer = peer.clone();
            calls.spawn(async move {
                let sent = Bytes::from(vec![number; usize::from(number) * 1000]);
                let results = peer.call("echo", Mode::Idempotent, |encoder| encoder.blob(&sent)).await;
                results.and_then(|results| results.value::<Bytes>()).map(|back| back == sent)
            });
        }
        for same in calls.join_all().await {
            assert!(same.map_err(&what)?);
        }
        let slow = peer.operation("slow", Mode::Idempotent).timeout(Duration::from_millis(100));
        let error = slow.call(|encoder| encoder.int(1000)).await.err();
        assert!(matches!(error, Some(CallError::Deadline { .. })), "{error:?}");
        peer.ice_ping().await.map_err(&what)
    })
}

/// `Test::Callback`.
#[derive(Default)]
pub(super) struct Callback {
    pub(super) told: Mutex<Vec<i32>>,
}

impl Servant for Callback {
    fn type_ids(&self) -> &[&'static str] {
        &["::Test::Callback"]
    }

    fn answer(self: Arc<Self>, call: Call) -> Answering {
        Box::pin(async move {
            let number: i32 = call.parameters()?;
            match call.operation() {
                "told" => {
                    if let Ok(mut told) = self.told.lock() {
                        told.push(number);
                    }
                    call.answer(&())
                }
                "ask" => call.answer(&(number * 10)),
                _ => Err(call.unknown_operation()),
            }
        })
    }
}

#[test]
fn callbacks_over_a_connection_of_ones_own_and_over_ours() -> Result<()> {
    ask(super::options(), |peer| async move {
        let what = trouble("callBack");
        let (ours, servant) = (peer.communicator().adapter(""), Arc::new(Callback::default()));
        ours.add(Identity::named("callback"), Arc::clone(&servant) as _);
        let over_ours = Connection::callback(Identity::named("callback"));
        peer.connection().await.map_err(&what)?.serve(&ours);
        let listening = ours.listen(&NetworkEndpoint::tcp("127.0.0.1", 0), None).await;
        listening.map_err(|error| Trouble::new(error.to_string()))?;
        let over_its_own = ours.direct(Identity::named("callback"));
        for callback in [over_ours, over_its_own] {
            let called = peer.call("callBack", Mode::Normal, |encoder| {
                encoder.value(&callback);
                encoder.int(5);
            });
            assert_eq!(called.await.and_then(|results| results.value::<i32>()).map_err(&what)?, 100);
        }
        assert_eq!(ours.connections(), 1);
        let told = servant.told.lock().map(|told| told.len());
        assert_eq!(told.ok(), Some(10));
        Ok(())
    })
}

#[test]
fn large_results_and_compressed_ones() -> Result<()> {
    for compressed_replies in [false, true] {
        ask(Options { compressed_replies, ..super::options() }, |peer| async move {
            let what = trouble("some");
            for length in [0, 1, 254, 255, 4096, 100_000, 30_000_000] {
                let results = peer
                    .call("some", Mode::Idempotent, |encoder| encoder.int(length))
                    .await
                    .map_err(&what)?;
                let bytes: Bytes = results.value().map_err(&what)?;
                assert_eq!(i32::try_from(bytes.len()), Ok(length));
            }
            Ok(())
        })?;
    }
    Ok(())
}
