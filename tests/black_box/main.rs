//! Black-box tests of the finished binary against real servers. One binary: the machinery is linked once.

mod image;
mod main_job;
