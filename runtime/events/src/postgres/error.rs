//! What PostgreSQL answers when it does not do what it was asked for.

use thiserror::Error;

use crate::error::Class;

/// PostgreSQL said no, or nothing.
#[derive(Debug, Error)]
#[error("cannot {attempted} in {place}: {source:?}")]
pub struct DatabaseError {
    attempted: &'static str,
    place: String,
    source: Source,
}

#[derive(Debug, Error)]
enum Source {
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    #[error(transparent)]
    Pool(#[from] deadpool_postgres::PoolError),
}

impl DatabaseError {
    pub(crate) fn new(attempted: &'static str, place: &str, source: tokio_postgres::Error) -> Self {
        Self { attempted, place: place.to_owned(), source: source.into() }
    }

    pub(crate) fn pool(place: &str, source: deadpool_postgres::PoolError) -> Self {
        Self { attempted: "connect", place: place.to_owned(), source: source.into() }
    }

    /// What it is about.
    pub(crate) fn class(&self) -> Class {
        match &self.source {
            Source::Postgres(error) => error.code().map_or(Class::Unavailable, |_| Class::Other),
            Source::Pool(_) => Class::Unavailable,
        }
    }

    /// Whether the same may succeed later.
    pub(crate) fn may_pass(&self) -> bool {
        match &self.source {
            Source::Pool(_) => true,
            Source::Postgres(error) => {
                error.is_closed()
                    || error.code().is_some_and(|code| ["23505", "40001", "40P01"].contains(&code.code()))
            }
        }
    }
}
