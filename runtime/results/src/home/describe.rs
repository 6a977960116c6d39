//! Keys and values beside the targets.

use biomero_omero::model::{MapAnnotation, NamedValue};
use biomero_omero::{Objects, QueryParameters, Upcast as _, Values as _};

use super::link::{Kind, annotation};
use super::{Error, Home, Made, State};
use crate::plan::Description;
use crate::workflow::KEY;

/// Those of a workflow in a namespace, which there is one of.
const FIND: &str = "select a.id from MapAnnotation a join a.mapValue m where a.ns = :ns and m.name = :key \
     and m.value = :workflow and a.details.owner.id = :owner order by a.id";

impl Home<'_> {
    pub(super) async fn find_description(&self, step: &Description) -> Result<Option<i64>, Error> {
        let workflow = step.pairs.iter().find(|(key, _)| key == KEY).map_or("", |(_, value)| value.as_str());
        let parameters = QueryParameters::new()
            .text("ns", &step.namespace)
            .text("key", KEY)
            .text("workflow", workflow)
            .long("owner", self.user);
        self.first("for what is written of the workflow", FIND, &parameters).await
    }

    pub(super) async fn look_description(&self, step: &Description) -> Result<Made, Error> {
        let Some(id) = self.find_description(step).await? else {
            return Ok(Made::new(State::Missing, Vec::new()));
        };
        let unlinked = self.unlinked(id, &step.to).await?;
        let state = if unlinked.is_empty() { State::There } else { State::Partly };
        Ok(Made::new(state, vec![format!("MapAnnotation:{id}")]))
    }

    pub(super) async fn describe(&self, step: &Description) -> Result<Made, Error> {
        let found = self.find_description(step).await?;
        let id = match found {
            Some(id) => id,
            None => {
                let mut objects = Objects::new();
                let base = annotation(&mut objects, &step.namespace, "");
                let pairs = step.pairs.iter();
                let pairs =
                    pairs.map(|(name, value)| NamedValue { name: name.clone(), value: value.clone() });
                let map_value = pairs.map(|pair| objects.put(pair)).collect();
                let map = objects.add(MapAnnotation { base, map_value });
                self.annotate(&step.namespace, &step.to, objects, map.up()).await?
            }
        };
        let unlinked = self.unlinked(id, &step.to).await?;
        self.link(&step.namespace, Kind::Map, id, &unlinked).await?;
        let state = if found.is_some() && unlinked.is_empty() { State::There } else { State::Made };
        Ok(Made::new(state, vec![format!("MapAnnotation:{id}")]))
    }
}
