//! What a hook is.

use crate::bindings::exports::biomero::hooks::hook::Guest;
use crate::{Context, Description, Effect, HookError};

/// What a hook is. `export!` makes a component of the type that implements it.
pub trait Hook {
    /// What the hook is and what it wants to know: start with [`description!`](crate::description!).
    fn describe() -> Description;

    /// The effects, in the order in which they are to happen. The same context gives the same effects.
    ///
    /// # Errors
    /// Why the hook cannot plan, with the remedy.
    fn plan(context: &Context) -> Result<Vec<Effect>, HookError>;
}

/// A [`Hook`] as the generated code wants it. Named by [`export!`](crate::export!) only.
#[doc(hidden)]
pub struct Exported<H>(std::marker::PhantomData<H>);

impl<H: Hook> Guest for Exported<H> {
    fn describe() -> Description {
        tell_panics();
        H::describe()
    }

    fn plan(context: Context) -> Result<Vec<Effect>, HookError> {
        tell_panics();
        H::plan(&context)
    }
}

/// A panic ends the component without a word; its message goes to the log first.
fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| crate::log::warn(&panic.to_string())));
}

/// Makes a component of the type that implements [`Hook`]. Once in a crate.
#[macro_export]
macro_rules! export {
    ($hook:ty) => {
        const _: () = {
            type Exported = $crate::Exported<$hook>;
    $crate::bindings::export_site_hook!(Exported with_types_in $crate::bindings);
        };
    };
}
