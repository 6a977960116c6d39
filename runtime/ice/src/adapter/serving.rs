//! Finding the servant, and what every object can be asked.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Call, Refusal, Servant};
use crate::connection::Connection;
use crate::encoding::{DecodeLimits, EncodeError, Payload, PlainObject, Registry};
use crate::identity::Identity;
use crate::protocol::{Fault, Request};

/// The servants of an adapter. It is what connections hold of one: not the other way round.
pub(crate) struct Serving {
    table: RwLock<Table>,
    pub(super) registry: Arc<Registry>,
    pub(super) limits: DecodeLimits,
}

#[derive(Default)]
struct Table {
    /// By identity, then by facet.
    objects: HashMap<Identity, HashMap<String, Arc<dyn Servant>>>,
    defaults: HashMap<String, Arc<dyn Servant>>,
}

impl Serving {
    pub(super) fn new(registry: Arc<Registry>, limits: DecodeLimits) -> Self {
        Self { table: RwLock::default(), registry, limits }
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(
        &self,
        identity: Identity,
        facet: String,
        servant: Arc<dyn Servant>,
    ) -> Option<Arc<dyn Servant>> {
        self.change().objects.entry(identity).or_default().insert(facet, servant)
    }

    pub(super) fn add_default(&self, category: String, servant: Arc<dyn Servant>) {
        self.change().defaults.insert(category, servant);
    }

    pub(super) fn remove(&self, identity: &Identity) -> bool {
        self.change().objects.remove(identity).is_some()
    }

    fn find(&self, request: &Request) -> Result<Arc<dyn Servant>, Fault> {
        let table = self.read();
        let facets = table.objects.get(&request.identity);
        if let Some(servant) = facets.and_then(|facets| facets.get(&request.facet)) {
            return Ok(Arc::clone(servant));
        }
        let default = table.defaults.get(&request.identity.category).or_else(|| table.defaults.get(""));
        if let (Some(servant), None) = (default, facets) {
            return Ok(Arc::clone(servant));
        }
        let (identity, facet) = (request.identity.clone(), request.facet.clone());
        let operation = request.operation.clone();
        Err(if facets.is_some() {
            Fault::FacetNotExist { identity, facet, operation }
        } else {
            Fault::ObjectNotExist { identity, facet, operation }
        })
    }

    /// The body of the reply to a request.
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: Request,
        connection: &Connection,
    ) -> Result<Payload, EncodeError> {
        let servant = match self.find(&request) {
            Ok(servant) => servant,
            Err(fault) => return fault.body(),
        };
        let call = Call::new(request, connection.clone(), self);
        let answer = match basic(servant.as_ref(), &call) {
            Some(answer) => answer,
            None => servant.answer(call).await,
        };
        match answer {
            Ok(answer) => Ok(answer.into_body()),
            Err(Refusal::Raised(answer)) => Ok(answer.into_body()),
            Err(Refusal::Fault(fault)) => fault.body(),
        }
    }
}

/// What every object can be asked ("Operations on Object").
fn basic(servant: &dyn Servant, call: &Call) -> Option<Result<super::Answer, Refusal>> {
    if !call.operation().starts_with("ice_") {
        return None;
    }
    let ids = || servant.type_ids().iter().copied().filter(|id| *id != PlainObject::TYPE_ID);
    Some(match call.operation() {
        "ice_ping" => call.answer(&()),
        "ice_isA" => call
            .parameters::<String>()
            .and_then(|id| call.answer(&(id == PlainObject::TYPE_ID || ids().any(|known| known == id)))),
        "ice_id" => call.answer(ids().next().unwrap_or(PlainObject::TYPE_ID)),
        "ice_ids" => {
            let mut all: Vec<&str> = ids().chain([PlainObject::TYPE_ID]).collect();
            all.sort_unstable();
            call.answer(&all)
        }
        _ => return None,
    })
}
