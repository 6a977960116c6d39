//! The exceptions of the tables, as one enumeration.

use crate::types::{ApiUsageException, Exception, InternalException, ServerError, ValidationException};

impl Exception {
    /// The one of this type id.
    #[must_use]
    pub fn of(type_id: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == type_id).map(|(exception, ..)| *exception)
    }

    /// As it stands on the wire.
    #[must_use]
    pub fn type_id(self) -> &'static str {
        self.entry().map_or("", |(_, type_id, _)| type_id)
    }

    /// What it is a case of.
    #[must_use]
    pub fn base(self) -> Option<Self> {
        self.entry().and_then(|(_, _, base)| *base)
    }

    /// Whether it is that one, or a case of it.
    #[must_use]
    pub fn is(self, other: Self) -> bool {
        std::iter::successors(Some(self), |exception| exception.base()).any(|exception| exception == other)
    }

    /// Its name without modules.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.type_id().rsplit("::").next().unwrap_or_default()
    }

    fn entry(self) -> Option<&'static (Self, &'static str, Option<Self>)> {
        Self::ALL.iter().find(|(exception, ..)| *exception == self)
    }
}

fn server_error(class: &str, message: &str) -> ServerError {
    // Nobody is sent a stack of ours.
    ServerError {
        server_stack_trace: String::new(),
        server_exception_class: class.to_owned(),
        message: message.to_owned(),
    }
}

impl InternalException {
    /// With this message.
    #[must_use]
    pub fn saying(message: &str) -> Self {
        Self { base: server_error("ome.conditions.InternalException", message) }
    }
}

impl ApiUsageException {
    /// With this message.
    #[must_use]
    pub fn saying(message: &str) -> Self {
        Self { base: server_error("ome.conditions.ApiUsageException", message) }
    }
}

impl ValidationException {
    /// With this message.
    #[must_use]
    pub fn saying(message: &str) -> Self {
        Self { base: ApiUsageException { base: server_error("ome.conditions.ValidationException", message) } }
    }
}
