//! Hostile descriptors. What is right is compared with the real Python in `tests/black_box/slurm/descriptors.rs`.

use proptest::prelude::*;

use super::*;

fn refused(file: &str, text: &str) -> DescriptorError {
    Descriptor::read(file, text.as_bytes()).expect_err("it is refused")
}

#[test]
fn what_multiplies_or_nests_is_cut_off() {
    let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..30 {
        let before = vec![format!("*a{}", level - 1); 9].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    assert!(matches!(refused("x.yaml", &laughs), DescriptorError::Excessive { .. }));
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(500_000), vec!["*a"; 1000].join(", "));
    assert!(matches!(refused("x.yaml", &long), DescriptorError::Excessive { .. }));
    let merged = format!(
        "a: &a {{{}}}\nb: [{}]\n",
        (0..999).map(|key| format!("k{key}: 1, ")).collect::<String>(),
        "{<<: *a}, ".repeat(999)
    );
    assert!(matches!(refused("x.yaml", &merged), DescriptorError::Excessive { .. }));
    assert!(matches!(
        refused("x.yaml", &"[".repeat(500_000)),
        DescriptorError::Excessive { .. } | DescriptorError::Syntax { .. }
    ));
    assert!(matches!(
        refused("x.yaml", &"- ".repeat(500_000)),
        DescriptorError::Excessive { .. } | DescriptorError::Syntax { .. }
    ));
    assert!(matches!(refused("x.json", &"[".repeat(500_000)), DescriptorError::Syntax { .. }));
    assert!(matches!(refused("x.json", &" ".repeat(LARGEST + 1)), DescriptorError::TooLarge { .. }));
}

#[test]
fn what_is_no_text_is_told_by_its_place() {
    let error = Descriptor::read("x.json", b"{\"a\": \"\xff\"}").expect_err("no text");
    assert_eq!(error, DescriptorError::Encoding { file: "x.json".to_owned(), at: 7 });
}

#[test]
fn a_byte_order_mark_does_no_harm() {
    let text = "\u{feff}{\"name\": \"n\", \"container-image\": {\"image\": \"a/b\"}, \"inputs\": []}";
    assert!(Descriptor::read("x.json", text.as_bytes()).is_ok());
}

#[test]
fn bilayers_without_a_citation_has_the_images_name() {
    let text = "docker_image: {org: o, name: tool}\nparameters: [{name: a, cli_tag: null}]\n";
    let descriptor =
        Descriptor::read("config.yaml", text.as_bytes()).expect("Python fails here, for no need");
    assert_eq!((descriptor.name.as_str(), descriptor.image.as_str()), ("tool", "o/tool"));
    let text = format!("citations: {{algorithm: [{{name: Cited, description: d}}]}}\n{text}");
    assert_eq!(Descriptor::read("config.yaml", text.as_bytes()).expect("a descriptor").name, "Cited");
}

/// Anything that JSON can hold, small.
fn value() -> impl Strategy<Value = serde_json::Value> {
    value_with(any::<f64>().prop_filter("finite", |number| number.is_finite()))
}

/// The same, with these floats alone.
fn value_with(float: impl Strategy<Value = f64> + 'static) -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        float.prop_map(Into::into),
        prop_oneof!["[a-zA-Z0-9 .:_~+-]{0,12}", ".{0,8}"].prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            proptest::collection::vec((".{0,6}", inner), 0..5)
                .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes: Vec<u8>, json: bool) {
        let _ = Descriptor::read(if json { "x.json" } else { "x.yaml" }, &bytes);
    }

    #[test]
    fn any_text_of_yaml_is_read_without_harm(text in "[-a-z0-9:{}\\[\\], \n&*!|>'\"%@#<.~]{0,200}") {
        let _ = Descriptor::read("x.yaml", text.as_bytes());
    }

    #[test]
    fn json_is_yaml_as_well(value in value_with((-1_000_000..1_000_000).prop_map(|number| f64::from(number) / 64.0))) {
        // Exponents are left out by what is generated, not by what is thrown away: PyYAML takes JSON's for text.
        let text = value.to_string();
        let (json, yaml) = (json::read("x", &text), yaml::read("x", &text));
        prop_assert_eq!(json, yaml, "{}", text);
    }

    #[test]
    fn a_float_is_written_so_that_it_reads_back(number in any::<f64>()) {
        prop_assume!(number.is_finite());
        prop_assert_eq!(Scalar::Float(number).to_string().parse::<f64>().expect("a number").to_bits(), number.to_bits());
    }

    #[test]
    fn any_types_in_any_place_are_told_or_taken(id in value(), kind in value(), default in value(), optional in value(), choices in value(), flag in value()) {
        let input = serde_json::json!({"id": id, "name": id, "type": kind, "default-value": default, "default": default,
            "optional": optional, "value-choices": choices, "options": choices, "command-line-flag": flag, "cli_tag": flag});
        for frame in [
            serde_json::json!({"schema-version": "cytomine-0.1", "container-image": {"image": "a/b"}, "inputs": [input]}),
            serde_json::json!({"schema-version": "biomero-0.1", "name": "n", "container-image": {"image": "a/b"}, "inputs": [input]}),
            serde_json::json!({"docker_image": {"org": "o", "name": "n"}, "parameters": [input]}),
        ] {
            if let Err(error) = Descriptor::read("x.json", frame.to_string().as_bytes()) {
                let message = error.to_string();
                prop_assert!(message.starts_with("x.json") && message.len() < 400, "{}", message);
            }
        }
    }
}
