//! The hooks that `init` brings: each a pure function with a table of tests beside it.
