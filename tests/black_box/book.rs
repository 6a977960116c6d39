//! The book says what is so: its pages are all there, its links lead somewhere, and what it says to type and to write are
//! commands and files that the binaries take.

mod commands;
mod files;
mod links;
mod migration;
mod page;
mod tables;
