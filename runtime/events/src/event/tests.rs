use proptest::prelude::*;

use super::*;
use crate::json::tests::value;

/// What Python biomero 2.8.3 wrote: `id|originator_id|originator_version|topic|state in hexadecimal`.
const SAMPLES: &str = include_str!("samples.psv");

fn bytes_of(hexadecimal: &str) -> Vec<u8> {
    hexadecimal
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal"))
        .collect()
}

#[test]
fn what_python_wrote_comes_out_again_byte_for_byte() {
    let mut seen = std::collections::BTreeSet::new();
    for line in SAMPLES.lines() {
        let columns: Vec<&str> = line.split('|').collect();
        let (topic, state) = (columns[3], bytes_of(columns[4]));
        let event = Event::decode(topic, &state).expect(line);
        assert_eq!(event.fact.topic(), topic);
        assert_eq!(event.extra, Object::new());
        assert_eq!(String::from_utf8(event.encode()), String::from_utf8(state));
        seen.insert(topic.to_owned());
    }
    assert_eq!(SAMPLES.lines().count(), 42);
    assert_eq!(seen.len(), Fact::TOPICS.len(), "the samples hold every topic");
}

#[test]
fn what_another_writer_wrote_is_read() {
    let state =
        br#" { "task_id" : {"_data_":"2ef4f9c5-d2e0-494b-aad2-5295d7e6ca98","_type_":"uuid_hex"}, "note": 1,
        "timestamp":{"_type_":"datetime_iso","_data_":"2026-11-22T19:11:22Z"} } "#;
    let event =
        Event::decode("biomero.eventsourcing:WorkflowRun.TaskAdded", state).expect("another writer's");
    let Fact::TaskAdded { task_id } = &event.fact else { panic!("{event:?}") };
    assert_eq!(uuid_of(task_id), Uuid::try_parse("2ef4f9c5d2e0494baad25295d7e6ca98").ok());
    assert_eq!(event.extra, [("note".to_owned(), Value::from(1))]);
}

#[test]
fn a_corrupt_event_is_refused_with_a_reason() {
    let started = "biomero.eventsourcing:Task.TaskStarted";
    let moment = r#""timestamp":{"_type_":"datetime_iso","_data_":"2026-11-22T19:11:22Z"}"#;
    for (topic, state, reason) in [
        (
            "biomero.eventsourcing:Task.Exploded",
            format!("{{{moment}}}"),
            "the topic `biomero.eventsourcing:Task.Exploded` is none",
        ),
        (started, "{".to_owned(), "the state is no JSON"),
        (started, "[]".to_owned(), "the state is an array instead of an object"),
        (started, "{}".to_owned(), "the state has no `timestamp`"),
        (
            started,
            r#"{"timestamp":"2026-11-22"}"#.to_owned(),
            "`timestamp` is \"2026-11-22\", not a `datetime_iso`",
        ),
        (
            started,
            moment.replace("2026-11-22T", "{").replace("\"timestamp", "{\"timestamp") + "}",
            "`timestamp`: `{19:11:22Z` is not a moment",
        ),
        ("biomero.eventsourcing:Task.StatusUpdated", format!("{{{moment}}}"), "the state has no `status`"),
        (
            "biomero.eventsourcing:WorkflowRun.WorkflowInitiated",
            format!(
                "{{{moment},\"name\":1,\"description\":1,\"user\":1,\"group\":1,\"originator_topic\":\"x\"}}"
            ),
            "`originator_topic` is \"x\" instead of",
        ),
    ] {
        let error = Event::decode(topic, state.as_bytes()).expect_err(&state).to_string();
        assert!(error.starts_with(reason), "{error}");
    }
    assert_eq!(Event::decode(started, b"\xff"), Err(Undecodable::Encoding));
}

fn fact() -> impl Strategy<Value = Fact> {
    (0..Fact::TOPICS.len(), prop::collection::vec(value(), 5)).prop_map(|(topic, values)| {
        let names = [
            "name",
            "description",
            "user",
            "group",
            "task_id",
            "error_message",
            "workflow_id",
            "task_name",
            "task_version",
            "input_data",
            "params",
            "job_id",
            "status",
            "progress",
            "result",
        ];
        let mut state: Object = names
            .iter()
            .zip(values.iter().cycle())
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        Fact::take(Fact::TOPICS[topic], &mut state).expect("every field is there")
    })
}

proptest! {
    #[test]
    fn what_is_encoded_decodes(fact in fact(), extra in value()) {
        let event = Event { extra: vec![("our_own".to_owned(), extra)], ..Event::now(fact) };
        prop_assert_eq!(Event::decode(event.fact.topic(), &event.encode()), Ok(event));
    }

    #[test]
    fn no_bytes_make_it_panic(topic in 0..Fact::TOPICS.len(), state in any::<Vec<u8>>()) {
        let _ = Event::decode(Fact::TOPICS[topic], &state);
    }
}
