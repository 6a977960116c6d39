//! A file each: what it takes for its input, and what has to hold of whatever it makes of it.

pub(crate) mod component;
pub(crate) mod component_answer;
pub(crate) mod context;
pub(crate) mod database_url;
pub(crate) mod descriptor;
pub(crate) mod event;
pub(crate) mod ice;
pub(crate) mod omero;
pub(crate) mod omero_properties;
pub(crate) mod settings;
pub(crate) mod site_hook;
pub(crate) mod slurm_config;
pub(crate) mod ssh_keys;
pub(crate) mod tiff;
pub(crate) mod zarr;
