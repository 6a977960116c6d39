//! `Test::Peer`, as `server.py` has it, on the Ice crate.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use biomero_ice::adapter::{Answer, Answering};
use biomero_ice::encoding::{Encoding, Format, Handle, Objects, Ref};
use biomero_ice::protocol::Fault;
use biomero_ice::{Call, Communicator, Mode, Reference, Refusal, Servant};
use bytes::Bytes;

use super::definitions::{Circle, Colour, Everything, Point, Problem, Shape, ShapeProblem};

pub(super) struct Peer {
    communicator: Communicator,
    total: AtomicI32,
}

impl Peer {
    pub(super) fn new(communicator: Communicator) -> Arc<Self> {
        Arc::new(Self { communicator, total: AtomicI32::new(0) })
    }
}

impl Servant for Peer {
    fn type_ids(&self) -> &[&'static str] {
        &["::Test::Peer", "::Test::Base"]
    }

    fn answer(self: Arc<Self>, call: Call) -> Answering {
        Box::pin(async move {
            match call.operation() {
                "name" => call.answer(call.identity().name.as_str()),
                "swap" => {
                    let sent: Everything = call.parameters()?;
                    call.answer(&(swapped(&sent), sent))
                }
                "compact" => shapes(&call, Format::Compact),
                "sliced" => shapes(&call, Format::Sliced),
                "same" => {
                    let (sent, objects) = call.parameters_with_objects::<Option<Handle>>()?;
                    call.write(Format::Sliced, Some(&objects), |encoder| encoder.instance(sent))
                }
                "optionals" => optionals(&call),
                "fail" => fail(&call, Format::Compact),
                "failSliced" => fail(&call, Format::Sliced),
                "count" => {
                    self.total.fetch_add(call.parameters::<i32>()?, Ordering::Relaxed);
                    call.answer(&())
                }
                "counted" => call.answer(&self.total.load(Ordering::Relaxed)),
                "context" => call.answer(call.context()),
                "callBack" => self.call_back(&call).await,
                "some" => {
                    let length = usize::try_from(call.parameters::<i32>()?).unwrap_or_default();
                    call.answer(&Bytes::from(vec![0; length]))
                }
                "echo" => call.answer(&call.parameters::<Bytes>()?),
                "slow" => {
                    let milliseconds: i32 = call.parameters()?;
                    tokio::time::sleep(Duration::from_millis(milliseconds.unsigned_abs().into())).await;
                    call.answer(&())
                }
                "encoding" => call.answer(&call.encoding().to_string()),
                _ => Err(call.unknown_operation()),
            }
        })
    }
}

impl Peer {
    async fn call_back(&self, call: &Call) -> Result<Answer, Refusal> {
        let (callback, times): (Option<Reference>, i32) = call.parameters()?;
        let callback = callback.ok_or_else(|| Fault::Unknown("no callback".to_owned()))?;
        let callback = self.communicator.fixed(callback, call.connection());
        let failed = |error: biomero_ice::CallError| Fault::Unknown(error.to_string());
        let mut sum = 0;
        for number in 0..times {
            let told = callback.operation("told", Mode::Normal);
            told.oneway(|encoder| encoder.int(number)).await.map_err(failed)?;
        }
        for number in 0..times {
            let asked = callback.call("ask", Mode::Idempotent, |encoder| encoder.int(number)).await;
            sum += asked.and_then(|results| results.value::<i32>()).map_err(failed)?;
        }
        call.answer(&sum)
    }
}

pub(super) fn swapped(sent: &Everything) -> Everything {
    Everything {
        truth: !sent.truth,
        octet: !sent.octet,
        small: -sent.small,
        medium: -sent.medium,
        large: -sent.large,
        rough: -sent.rough,
        fine: -sent.fine,
        text: sent.text.chars().rev().collect(),
        shade: sent.shade,
        place: Point { x: sent.place.y, y: sent.place.x },
        blob: sent.blob.iter().rev().copied().collect(),
        truths: sent.truths.iter().rev().copied().collect(),
        samples: sent.samples.iter().rev().copied().collect(),
        names: sent.names.iter().rev().cloned().collect(),
        places: sent.places.iter().rev().cloned().collect(),
        counts: sent.counts.iter().map(|(key, count)| (key.clone(), -count)).collect(),
        colours: sent.colours.iter().map(|(key, shade)| (-key, *shade)).collect(),
        proxies: sent.proxies.iter().rev().cloned().collect(),
    }
}

fn shapes(call: &Call, format: Format) -> Result<Answer, Refusal> {
    let (sent, objects) = call.parameters_with_objects::<Vec<Option<Ref<Shape>>>>()?;
    call.write(format, Some(&objects), |encoder| encoder.value(&sent))
}

fn optionals(call: &Call) -> Result<Answer, Refusal> {
    let read = call.read(true, |decoder| {
        let needed = decoder.int()?;
        let text: Option<String> = decoder.optional(2)?;
        let places: Option<Vec<Point>> = decoder.optional(3)?;
        let shade: Option<Colour> = decoder.optional(4)?;
        let subject: Option<Option<Ref<Shape>>> = decoder.optional(5)?;
        let counts: Option<std::collections::BTreeMap<String, i32>> = decoder.optional(6)?;
        let samples: Option<Vec<f64>> = decoder.optional(7)?;
        let missing = [
            text.is_none(),
            places.is_none(),
            shade.is_none(),
            subject.is_none(),
            counts.is_none(),
            samples.is_none(),
        ];
        let missing = missing.into_iter().map(i32::from).sum::<i32>();
        Ok((needed + missing, text, places, samples, subject.flatten()))
    });
    let ((sum, text, places, samples, subject), objects) = read?;
    if let Some(subject) = subject
        && objects.get::<Shape>(subject).is_none_or(|shape| shape.name != "optional")
    {
        return Err(Fault::Unknown("another shape".to_owned()).into());
    }
    call.write(Format::Compact, None, |encoder| {
        encoder.optional(1, Some(&sum));
        encoder.optional(12, text.as_ref());
        encoder.optional(13, places.as_ref());
        encoder.optional(17, samples.as_ref());
    })
}

fn fail(call: &Call, format: Format) -> Result<Answer, Refusal> {
    let kind: String = call.parameters()?;
    Err(match kind.as_str() {
        "base" => call.raise_with(&Problem { message: "plain".to_owned() }, format, None),
        "shape" => {
            let mut objects = Objects::new();
            let circle = Circle {
                base: Shape { name: "round".to_owned(), ..Shape::default() },
                radius: 4.0,
                ..Circle::default()
            };
            let subject = Some(objects.add(circle).handle().into());
            let base = Problem { message: "derived".to_owned() };
            call.raise_with(&ShapeProblem { base, subject, count: Some(9) }, format, Some(&objects))
        }
        "unknown" => Fault::Unknown("not declared".to_owned()).into(),
        _ => return call.answer(&()),
    })
}

/// What both directions send.
pub(super) fn everything() -> Everything {
    let texts = [
        "test/peer -t -e 1.1",
        "elsewhere -f f -o -s -e 1.0 @ adapter",
        "a/b -t -e 1.1:udp -h 127.0.0.1 -p 9:tcp -h h -p 2 -t 7 -z",
    ];
    let proxies = texts.iter().map(|text| text.parse().ok()).chain([None]).collect();
    Everything {
        truth: true,
        octet: 200,
        small: -30_000,
        medium: -2_000_000_000,
        large: -(1 << 62),
        rough: 1.5,
        fine: -2.5e300,
        text: "Grüße, 世界".to_owned(),
        shade: Colour::Blue,
        place: Point { x: 1, y: -2 },
        blob: Bytes::from_static(b"\0\x01\xff"),
        truths: vec![true, false],
        samples: vec![0.5; 300],
        names: vec![String::new(), "é".to_owned(), "x".repeat(300)],
        places: vec![Point { x: 3, y: 4 }],
        counts: [("one".to_owned(), 1), (String::new(), -1)].into(),
        colours: [(5, Colour::Green)].into(),
        proxies,
    }
}

/// What of them survives a version: proxies have no version of their own in 1.0.
pub(super) fn as_sent(sent: &Everything, encoding: Encoding) -> Everything {
    let mut sent = sent.clone();
    if encoding == Encoding::V1_0 {
        sent.proxies.iter_mut().flatten().for_each(|proxy| proxy.encoding = Encoding::V1_0);
    }
    sent
}
