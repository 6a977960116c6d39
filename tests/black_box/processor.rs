//! The finished `processor events`, on a real PostgreSQL with a history that the real Python wrote.

mod chosen;
mod copy;
mod follow;
mod lines;
mod read;
mod refuse;
mod repair;
mod set_up;
mod shapes;
mod stage;
mod terminal;
mod write;
