//! A row of the event log: a line with the topic, then the state.

use biomero_events::event::Event;
use biomero_events::projection::{Placed, Projection};
use uuid::Uuid;

pub(crate) fn run(row: &[u8]) {
    let Some(end) = row.iter().position(|byte| *byte == b'\n') else { return };
    let Ok(topic) = str::from_utf8(&row[..end]) else { return };
    let Ok(event) = Event::decode(topic, &row[end + 1..]) else { return };
    let encoded = event.encode();
    let again = Event::decode(topic, &encoded).expect("what was encoded decodes");
    assert_eq!(again, event);
    assert_eq!(again.encode(), encoded);
    let mut projection = Projection::default();
    for id in 0..3 {
        projection.apply(Placed { id, originator_id: Uuid::nil(), event: &event });
    }
    let (states, _) = projection.finish();
    for (key, state) in states {
        let text = serde_json::to_string(&state).expect("a state has a text");
        assert_eq!(
            serde_json::from_str::<biomero_events::projection::State>(&text).expect("and is read again"),
            state
        );
        assert_eq!(key.to_string().parse(), Ok(key));
    }
}
