//! Machine code on its way to becoming a component, and the one unsafe call of this crate that makes it one.
#![allow(
    unsafe_code,
    reason = "Component::deserialize_file runs what it is given; who gives it is checked here"
)]

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::limits;
use crate::digest::sha256_of;

/// Machine code in a file in memory that nobody can change any more, not even this process.
#[derive(Debug)]
pub(super) struct Code(File);

/// Machine code that may be run: it comes from the compiler program that `init` started itself, or from the cache,
/// which checked who could have written it and that it is unchanged.
#[derive(Debug)]
pub(super) struct Trusted(Code);

/// A file in memory, to be filled and then sealed.
pub(super) fn memory() -> io::Result<OwnedFd> {
    Ok(memfd_create(c"component", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?)
}

impl Code {
    /// Seals what was written to a [`memory`].
    pub(super) fn seal(memory: OwnedFd) -> io::Result<Self> {
        let seals =
            SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
        fcntl(&memory, FcntlArg::F_ADD_SEALS(seals))?;
        Ok(Self(File::from(memory)))
    }

    /// Copies a file, and tells the SHA-256 of the copy: what was looked at is what will be run.
    pub(super) fn copy(from: impl Read) -> io::Result<(Self, String)> {
        let memory = File::from(memory()?);
        let copying = Copying { from: from.take(limits::COMPILED), to: &memory };
        let digest = sha256_of(copying)?;
        Ok((Self::seal(memory.into())?, digest))
    }

    fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }

    /// To be kept.
    pub(super) fn bytes(&self) -> io::Result<Vec<u8>> {
        std::fs::read(self.path())
    }
}

/// A reader that leaves a copy of what it reads.
struct Copying<'a, R> {
    from: R,
    to: &'a File,
}

impl<R: Read> Read for Copying<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.to.write_all(&buffer[..read])?;
        Ok(read)
    }
}

impl Trusted {
    /// From the cache, which checked it.
    pub(super) const fn of_cache(code: Code) -> Self {
        Self(code)
    }

    /// From the compiler.
    pub(super) const fn compiled(code: Code) -> Self {
        Self(code)
    }

    /// To be kept.
    pub(super) fn bytes(&self) -> io::Result<Vec<u8>> {
        self.0.bytes()
    }

    /// As a component of this engine. wasmtime refuses what another version or other settings made.
    pub(super) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: the file is sealed, so that it is what was written to it, and that was written by wasmtime's
        // compiler: see the type. A component of another version is told by wasmtime itself.
        unsafe { Component::deserialize_file(engine, self.0.path()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_looked_at_cannot_be_changed_by_anybody() {
        let (code, digest) = Code::copy(&b"abc"[..]).unwrap();
        assert_eq!(digest, crate::sha256(b"abc"));
        let written = std::fs::OpenOptions::new()
            .write(true)
            .open(code.path())
            .and_then(|mut file| file.write_all(b"x"));
        assert_eq!(written.unwrap_err().raw_os_error(), Some(nix::libc::EPERM));
        assert_eq!(code.bytes().unwrap(), b"abc");
    }
}
