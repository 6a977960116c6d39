//! Black-box tests of the finished binary against real servers. One binary: the machinery is linked once.

mod book;
mod chaos;
mod database;
mod dry_run;
mod end_to_end;
mod events;
mod example;
mod export;
mod faults;
mod grid;
mod guests;
mod guide;
mod hostile;
mod ice;
mod image;
mod laptop;
mod main_job;
mod new_hook;
mod omero;
mod processor;
mod python;
mod reference;
mod service;
mod site_hook;
mod slurm;
mod workflow;
