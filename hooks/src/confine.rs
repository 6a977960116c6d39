//! Paths of a hook that is not trusted, resolved so that no symlink and no `..` leads out of what was granted, and so
//! that nothing that changes between looking and writing does either.
