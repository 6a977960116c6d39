//! Workflows: where their descriptors come from, what a call may say, and the job that it becomes.
//!
//! [`catalogue`] fetches descriptors, [`arguments`] checks a call against one, [`mod@plan`] and [`conversion`] make jobs of it.
//! All but the catalogue and the reading of [`template`] and [`program`] is pure.
//!
//! Invariants: options and variables are those of Python's biomero 2.8.3, by name, value and precedence, but values are the
//! true ones: nothing is quoted for a shell, because nothing goes through one. A job script reads values from variables alone,
//! so that it holds nothing of a call and nothing of a call is ever read as a program.

pub mod arguments;
pub mod attachment;
pub mod catalogue;
pub mod conversion;
pub mod image;
pub mod plan;
pub mod program;
pub mod script;
pub mod template;
pub mod variable;

mod options;
mod own_file;
#[cfg(test)]
mod tests;
mod words;

pub use arguments::{ArgumentError, Arguments};
pub use attachment::AttachedFile;
pub use catalogue::{Catalogue, CatalogueOptions};
pub use conversion::{Conversion, ConversionPlan};
pub use image::Image;
pub use plan::{Call, JobPlan, PlanError, Site, plan};
pub use program::{Program, ProgramError};
pub use script::{Script, ScriptError};
pub use template::TemplateError;
