;; A hook whose answer is the content of the file it is told, as it is: whatever a hostile guest could leave in its
;; memory, the fuzzer can.
(module
  (memory (export "memory") 4)
  ;; Strings and lists go up from here; the description is below it.
  (global $free (mut i32) (i32.const 8192))
  (global $last (mut i32) (i32.const 0))

  (func (export "cabi_realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
    (local $at i32)
    ;; Rounded up to 8, which is the largest alignment there is.
    (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.set $free (i32.add (local.get $at) (local.get $new)))
    (if (i32.gt_u (global.get $free) (i32.const 262144)) (then unreachable))
    (local.get $at))

  ;; description: name, version, summary; settings, environment, files, addresses.
  (data (i32.const 16) "fuzz")
  (data (i32.const 32) "/answer")
  (data (i32.const 48) "\20\00\00\00\07\00\00\00")
  (data (i32.const 64)
    "\10\00\00\00\04\00\00\00" "\10\00\00\00\04\00\00\00" "\10\00\00\00\04\00\00\00"
    "\00\00\00\00\00\00\00\00" "\00\00\00\00\00\00\00\00" "\30\00\00\00\01\00\00\00" "\00\00\00\00\00\00\00\00")
  (func (export "biomero:hooks/hook@1.0.0#describe") (result i32) (i32.const 64))

  ;; The content goes to 4096, so that places in it are the same at every call.
  (func (export "biomero:hooks/hook@1.0.0#plan")
    (param $settings i32) (param i32) (param $environment i32) (param i32)
    (param i32 i32 i32 i32) (param i32 i32 i32 i32)
    (param $files i32) (param $count i32) (param i32 i32) (result i32)
    (local $content i32) (local $size i32)
    ;; input-file: asked 0, path 8, state 16 (discriminant; content at 20, its length at 24).
    (local.set $content (i32.load offset=20 (local.get $files)))
    (local.set $size (i32.load offset=24 (local.get $files)))
    (if (i32.gt_u (local.get $size) (i32.const 4096)) (then (local.set $size (i32.const 4096))))
    (memory.copy (i32.const 4096) (local.get $content) (local.get $size))
    (i32.const 4096)))
