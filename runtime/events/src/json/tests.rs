use proptest::prelude::*;

use super::{Number, Value};

#[test]
fn what_python_writes_comes_out_again() {
    for text in [
        r#"{"a":1,"b":[1,2.5,-0.0,1e-05,1e+16,NaN,Infinity,-Infinity,123456789012345678901234567890],"a":null}"#,
        r#""\"\\\b\f\n\r\t\u0000\u001f/ é — 𝄞""#,
        "[]",
        "{}",
        "[[[{}]]]",
        "true",
    ] {
        assert_eq!(Value::read(text).expect(text).to_string(), text);
    }
}

#[test]
fn a_float_is_written_as_python_does() {
    // Each line: Python's `json.dumps(value)`.
    for (value, text) in [
        (0.5, "0.5"),
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (100_000.0, "100000.0"),
        (1e15, "1000000000000000.0"),
        (1e16, "1e+16"),
        (1.5e300, "1.5e+300"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1.234e-7, "1.234e-07"),
        (0.1 + 0.2, "0.30000000000000004"),
        (67.2, "67.2"),
        (f64::NAN, "NaN"),
        (f64::NEG_INFINITY, "-Infinity"),
    ] {
        assert_eq!(Number::from_f64(value).as_str(), text);
    }
}

#[test]
fn spaces_and_escapes_of_other_writers_are_read() {
    let value = Value::read(" { \"k\" : [ 1 , \"\\u00e9\\/\\ud834\\udd1e\" ] } ").expect("JSON with spaces");
    assert_eq!(value.to_string(), "{\"k\":[1,\"é/𝄞\"]}");
}

#[test]
fn of_a_repeated_key_the_last_one_counts() {
    let value = Value::read(r#"{"a":1,"a":2}"#).expect("a repeated key");
    assert_eq!(value.get("a"), Some(&Value::from(2)));
}

#[test]
fn what_is_no_json_is_refused_with_its_place() {
    for (text, error) in [
        ("", "the text ends where a JSON value should be at byte 0"),
        ("{\"a\":}", "no JSON value at byte 5"),
        ("[1,]", "no JSON value at byte 3"),
        ("{\"a\" 1}", "no `:` after an object's key at byte 5"),
        ("\"a", "a string without an end at byte 1"),
        ("01", "more after the end of the JSON value at byte 1"),
        ("1.", "no digit after a decimal point at byte 2"),
        ("\"\\ud800\"", "half of a pair of surrogates at byte 7"),
        ("\"\\x\"", "an unknown escape in a string at byte 2"),
    ] {
        assert_eq!(Value::read(text).expect_err(text).to_string(), error, "{text}");
    }
    let deep = "[".repeat(100_000);
    assert!(Value::read(&deep).expect_err("too deep").to_string().starts_with("nested too deep"));
}

/// Any value that Python could hold.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((any::<String>(), inner), 0..6).prop_map(Value::Object),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(value in value()) {
        prop_assert_eq!(Value::read(&value.to_string()), Ok(value));
    }

    #[test]
    fn a_written_float_is_the_nearest_to_itself(value in any::<f64>()) {
        prop_assert_eq!(Number::from_f64(value).as_f64().map(f64::to_bits), Some(value.to_bits()));
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = Value::read(&text);
    }
}
