use super::*;

/// What a linker leaves of a hook, as far as the encoder looks.
const MODULE: &str = r#"(module
  (import "biomero:hooks/log@1.0.0" "log" (func (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
  (func (export "biomero:hooks/hook@1.0.0#describe") (result i32) unreachable)
  (func (export "biomero:hooks/hook@1.0.0#plan")
    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) unreachable))"#;

fn encoded(module: &str) -> Result<Vec<u8>, String> {
    encode(wat::parse_str(module).unwrap(), Path::new("hook.wasm"), None).map_err(|error| error.to_string())
}

#[test]
fn a_module_that_says_nothing_of_itself_is_taken_for_a_hook() {
    let component = encoded(MODULE).unwrap();
    let shape = Shape::of(&component, Path::new("hook.wasm")).unwrap();
    assert_eq!(shape.imports, ["biomero:hooks/log@1.0.0"]);
    assert_eq!(shape.exports, ["biomero:hooks/hook@1.0.0"]);
}

#[test]
fn what_the_hook_does_not_call_the_component_does_not_import() {
    let module = MODULE.replace(r#"(import "biomero:hooks/log@1.0.0" "log" (func (param i32 i32 i32)))"#, "");
    let shape = Shape::of(&encoded(&module).unwrap(), Path::new("hook.wasm")).unwrap();
    assert!(shape.imports.is_empty(), "{shape}");
}

#[test]
fn what_makes_no_component_is_refused_with_the_remedy() {
    let wasi = MODULE.replace(
        "(memory",
        r#"(import "wasi_snapshot_preview1" "clock_time_get" (func (param i32 i64 i32) (result i32))) (memory"#,
    );
    let errors = [
        encoded("(module)").unwrap_err(),
        encoded(&wasi).unwrap_err(),
        encode(b"#!/bin/sh\n".to_vec(), Path::new("hook.sh"), None).unwrap_err().to_string(),
        encode(encoded(MODULE).unwrap(), Path::new("hook.wasm"), None).unwrap_err().to_string(),
        encode(wat::parse_str(MODULE).unwrap(), Path::new("hook.wasm"), Some(Path::new("/no/such")))
            .unwrap_err()
            .to_string(),
    ];
    insta::assert_snapshot!(errors.join("\n\n"));
}
