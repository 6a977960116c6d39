//! A recorded context of any content: JSON that reads back as it was written, with its secrets masked.

use biomero_hooks::component::GuestContext;

pub(crate) fn run(data: &[u8]) {
    let Ok(context) = serde_json::from_slice::<GuestContext>(data) else { return };
    let text = serde_json::to_string(&context).expect("a context is JSON");
    assert_eq!(serde_json::from_str::<GuestContext>(&text).expect("and reads back"), context);
    let masked = context.masked(|_| true);
    assert!(masked.settings.values().all(|value| value == biomero_config::MASK));
}
