//! Site hooks of a BIOMERO worker, in Rust.
//!
//! A hook says what it wants to know and answers with effects. It never touches the machine, so that its unit tests
//! are plain `cargo test`:
//!
//! ```
//! use biomero_hooks_guest::{Context, Description, Effect, File, Hook, HookError, description, export};
//!
//! struct Motd;
//!
//! impl Hook for Motd {
//!     fn describe() -> Description {
//!         description!("greets who logs in").setting("worker.name")
//!     }
//!
//!     fn plan(context: &Context) -> Result<Vec<Effect>, HookError> {
//!         let name = context.setting("worker.name")?;
//!         Ok(vec![File::text("/etc/motd", format!("This is {name}.\n")).into()])
//!     }
//! }
//!
//! export!(Motd);
//!
//! let context = Context::empty().with_setting("worker.name", "biomeroworker");
//! assert_eq!(Motd::plan(&context).unwrap(), [File::text("/etc/motd", "This is biomeroworker.\n").into()]);
//! ```
//!
//! What each effect means is said in `wit/site-hook.wit`, from which the types are generated.

mod context;
mod description;
mod effect;
mod error;
mod hook;
pub mod log;

/// What `wit/site-hook.wit` says, in Rust.
#[doc(hidden)]
#[allow(unsafe_code, reason = "the generated code passes values through linear memory")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "site-hook",
        additional_derives: [PartialEq, Eq],
        pub_export_macro: true,
        export_macro_name: "export_site_hook",
        default_bindings_module: "biomero_hooks_guest::bindings",
    });
}

pub use bindings::biomero::hooks::types::{
    Command, Context, Description, Directory, Effect, Entry, File, FileContent, FileState, HookError,
    HostAddress, Identity, InputFile, Lock, MoveAside, Needs, Owner, Variable, WaitPath, WaitTcp,
};
pub use hook::{Exported, Hook};
