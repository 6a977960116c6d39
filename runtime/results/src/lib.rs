//! The results of a workflow, brought home into OMERO: files attached, tables stored, label images drawn as regions of interest,
//! images imported, and what the workflow was written beside them.
//!
//! [`folder`] says what there is, [`plan`] what becomes of it, [`home`] does it. A dry run prints the plan that would be carried out
//! and asks OMERO what of it is done; only the last step differs.
//!
//! Invariants:
//! - Nothing is there twice. Each thing is looked for under a name of its own before it is made, and what makes it is one call that
//!   OMERO does whole or not at all. After a kill between any two calls the same request goes on where it was.
//! - A folder of results was written by others: names, numbers, sizes and links are checked before they are believed, and nothing
//!   outside of it is read.
//! - Memory does not depend on the size of a file, a table or an image: blocks, batches of rows and groups of labels have a limit,
//!   far below that of a message of OMERO.
//! - What cannot be brought home is told with a reason, and keeps nothing else from it.

pub mod folder;
pub mod home;
pub mod label;
mod matching;
mod object;
pub mod plan;
mod rename;
pub mod table;
mod workflow;

pub use matching::assign;
pub use object::{Class, NoObject, Object};
pub use rename::{NoPattern, Pattern};
pub use workflow::Workflow;
