//! Answering what OMERO asks.

use biomero_ice::adapter::Answer;
use biomero_ice::encoding::{Encode, Format, Sliced};
use biomero_ice::{Call, Fault, Refusal};

use crate::service::Graph;

/// Why a call that came in has no result.
#[derive(Debug)]
pub enum Refused {
    /// One of the exceptions of its operation.
    Raised(Box<dyn Sliced>),
    /// Anything else.
    Fault(Fault),
}

impl Refused {
    /// With this exception.
    pub fn with(exception: impl Sliced) -> Self {
        Self::Raised(Box::new(exception))
    }

    fn refusal(self, call: &Call) -> Refusal {
        match self {
            Self::Raised(exception) => call.raise(exception.as_ref()),
            Self::Fault(fault) => fault.into(),
        }
    }
}

/// The answer of a call whose result holds no instances.
pub(crate) fn answered<R: Encode>(call: &Call, result: Result<R, Refused>) -> Result<Answer, Refusal> {
    match result {
        Ok(result) => call.answer(&result),
        Err(refused) => Err(refused.refusal(call)),
    }
}

/// The same with instances.
pub(crate) fn answered_graph<R: Encode>(
    call: &Call,
    result: Result<Graph<R>, Refused>,
) -> Result<Answer, Refusal> {
    match result {
        Ok(graph) => call.write(Format::Compact, Some(&graph.objects), |encoder| encoder.value(&graph.value)),
        Err(refused) => Err(refused.refusal(call)),
    }
}
