//! The one unsafe call of this crate: machine code becomes a component.
#![allow(unsafe_code, reason = "Component::deserialize runs what it is given; who gives it is checked here")]

use wasmtime::Engine;
use wasmtime::component::Component;

use super::cache::Cache;
use super::compile::Compiled;

/// Machine code that may be run: it comes from the compiler program that `init` started itself, or from the cache,
/// which checked who could have written it and that it is unchanged.
#[derive(Debug)]
pub(super) struct Trusted(Vec<u8>);

impl Trusted {
    /// From the cache; none when it holds none.
    pub(super) fn from_cache(cache: &Cache, digest: &str) -> Result<Option<Self>, super::CacheError> {
        Ok(cache.load(digest)?.map(Self))
    }

    /// From the compiler.
    pub(super) fn compiled(compiled: Compiled) -> Self {
        Self(compiled.into_bytes())
    }

    /// To be kept.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// As a component of this engine. wasmtime refuses what another version or other settings made.
    pub(super) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: the bytes are in this process's own memory, which nobody else changes, and were written by
        // wasmtime's compiler: see the type. A component of another version is told by wasmtime itself.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}
