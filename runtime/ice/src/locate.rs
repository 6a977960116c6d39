//! Where indirect references lead ("Locators", "Locator Semantics for Clients").

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clients::Locator;
use crate::communicator::Communicator;
use crate::encoding::PlainObject;
use crate::endpoint::Endpoint;
use crate::error::CallError;
use crate::identity::Identity;
use crate::reference::{Address, InvocationMode, Reference};

/// How many answers are kept before all are forgotten.
const KEPT: usize = 1024;

/// What a locator said.
pub(crate) struct Cache {
    believed: Option<Duration>,
    answers: Mutex<HashMap<Question, (Vec<Endpoint>, Instant)>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Question {
    Adapter(String),
    Object(Identity),
}

impl Question {
    fn of(reference: &Reference) -> Option<Self> {
        match &reference.address {
            Address::Direct(_) => None,
            Address::Adapter(id) => Some(Self::Adapter(id.clone())),
            Address::WellKnown => Some(Self::Object(reference.identity.clone())),
        }
    }
}

impl Cache {
    pub(crate) fn new(believed: Option<Duration>) -> Self {
        Self { believed, answers: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Question, (Vec<Endpoint>, Instant)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, question: &Question) -> Option<Vec<Endpoint>> {
        let answers = self.lock();
        let (endpoints, since) = answers.get(question)?;
        let stale = self.believed.is_some_and(|believed| since.elapsed() >= believed);
        (!stale).then(|| endpoints.clone())
    }

    fn put(&self, question: Question, endpoints: Vec<Endpoint>) {
        let mut answers = self.lock();
        if answers.len() >= KEPT {
            answers.clear();
        }
        answers.insert(question, (endpoints, Instant::now()));
    }

    /// Forgets what was said of a reference: it led nowhere.
    pub(crate) fn forget(&self, reference: &Reference) {
        if let Some(question) = Question::of(reference) {
            self.lock().remove(&question);
        }
    }
}

/// Endpoints, and whether they are remembered, and so may be old.
pub(crate) struct Located {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) remembered: bool,
}

/// The endpoints of a reference. Boxed by the caller: a locator is called like any object.
pub(crate) async fn locate(
    communicator: &Communicator,
    operation: &str,
    reference: &Reference,
) -> Result<Located, CallError> {
    let Some(question) = Question::of(reference) else {
        return Ok(Located { endpoints: reference.endpoints().to_vec(), remembered: false });
    };
    if let Some(endpoints) = communicator.located().get(&question) {
        return Ok(Located { endpoints, remembered: true });
    }
    let unlocated = |problem: &str| CallError::unlocated(operation, &reference.identity, problem);
    let Some(locator) = communicator.options().locator.clone() else {
        return Err(unlocated(
            "it has no endpoints, and no locator was set up to ask (`Ice.Default.Locator`)",
        ));
    };
    if locator.endpoints().is_empty() {
        return Err(unlocated("the locator itself has no endpoints"));
    }
    let locator = Locator::new(communicator.proxy(locator.called(InvocationMode::Twoway)));
    let mut found = match &question {
        Question::Adapter(id) => locator.find_adapter(id).await,
        Question::Object(identity) => locator.find_object(identity).await,
    };
    // A well-known object is often said to be with an adapter.
    if let (Question::Object(_), Ok(Some(Reference { address: Address::Adapter(id), .. }))) =
        (&question, &found)
    {
        found = locator.find_adapter(&id.clone()).await;
    }
    let nobody =
        "the locator knows no server that runs and has it; is the server started, and the name right?";
    match found {
        Ok(Some(Reference { address: Address::Direct(endpoints), .. })) => {
            communicator.located().put(question, endpoints.clone());
            Ok(Located { endpoints, remembered: false })
        }
        Ok(_) => Err(unlocated(nobody)),
        Err(error) if error.raised_type().is_some_and(|id| id != PlainObject::TYPE_ID) => {
            Err(unlocated(nobody))
        }
        Err(error) => Err(error),
    }
}
