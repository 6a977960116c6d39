//! New images, through `omero import`. OMERO links a mark to them in the same step in which it makes them; by it they are found.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use biomero_omero::model::{
    CommentAnnotation, Dataset as DatasetObject, IObject, Project, ProjectDatasetLink,
    Session as SessionObject, TextAnnotation,
};
use biomero_omero::types::RString;
use biomero_omero::{Error as OmeroError, Objects, QueryParameters, Upcast as _, Values as _};

use super::cli::{Asked, Importer, ImporterError};
use super::link::{Kind, annotation, known, new};
use super::{Error, Home, Made, State, Witness, blocking};
use crate::folder::Folder;
use crate::object::{Class, Object};
use crate::plan::{Dataset, Import, Step};

/// The namespace of marks.
const MARKS: &str = "biomero/workflow/import";

const MARK: &str = "select a.id from CommentAnnotation a where a.ns = :ns and a.textValue = :text \
     and a.details.owner.id = :owner order by a.id";
const IMAGES: &str = "select l.parent.id from ImageAnnotationLink l where l.child.id = :mark order by l.id";
const DATASET: &str =
    "select d.id from Dataset d where d.name = :name and d.details.owner.id = :owner order by d.id";

/// The session of the importer: it ends by itself after a day, or an hour without a sign of life.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);
const IDLE: Duration = Duration::from_secs(60 * 60);
/// How long is waited for what an importer that was killed may have begun: the server goes on without it.
const LEFT: Duration = Duration::from_secs(10);
const PACE: Duration = Duration::from_secs(1);

impl Home<'_> {
    async fn find_mark(&self, step: &Import) -> Result<Option<i64>, Error> {
        let parameters =
            QueryParameters::new().text("ns", MARKS).text("text", &step.mark).long("owner", self.user);
        self.first("for an imported image", MARK, &parameters).await
    }

    /// The images that a mark is on.
    async fn marked(&self, mark: i64) -> Result<Vec<i64>, Error> {
        let what = "for imported images";
        let rows = self.rows(what, IMAGES, &QueryParameters::new().long("mark", mark)).await?;
        rows.iter().map(|row| row.long(0)).collect::<Result<_, _>>().map_err(super::asked(what))
    }

    pub(super) async fn look_import(&self, step: &Import) -> Result<Made, Error> {
        let images = match self.find_mark(step).await? {
            Some(mark) => self.marked(mark).await?,
            None => Vec::new(),
        };
        let state = if images.is_empty() { State::Missing } else { State::There };
        Ok(Made::new(state, images.iter().map(|id| format!("Image:{id}")).collect()))
    }

    pub(super) async fn import(
        &self,
        folder: &Folder,
        step: &Import,
        steps: &[Step],
        importer: Option<&Importer>,
        witness: &dyn Witness,
    ) -> Result<Made, Error> {
        let found = self.find_mark(step).await?;
        let mut images = match found {
            Some(mark) => self.marked_at_last(mark, witness).await?,
            None => Vec::new(),
        };
        let state = if images.is_empty() { State::Made } else { State::There };
        if images.is_empty() {
            let importer = importer.ok_or_else(|| Error::NoImporter { path: step.path.clone() })?;
            let dataset = self.dataset(step).await?;
            let mark = match found {
                Some(mark) => mark,
                None => self.new_mark(step).await?,
            };
            self.run_importer(folder, step, importer, dataset, mark, witness).await?;
            images = self.marked(mark).await?;
            if images.is_empty() {
                return Err(Error::Unmarked { path: step.path.clone() });
            }
        }
        // What the workflow was stands beside its images too.
        let to: Vec<Object> = images.iter().map(|id| Object { class: Class::Image, id: *id }).collect();
        for described in steps {
            if let Step::Describe(described) = described
                && let Some(id) = self.find_description(described).await?
            {
                let unlinked = self.unlinked(id, &to).await?;
                self.link(&described.namespace, Kind::Map, id, &unlinked).await?;
            }
        }
        Ok(Made::new(state, to.iter().map(Object::to_string).collect()))
    }

    /// The images of a mark that was made before: an import that was left alone may still be on its way.
    async fn marked_at_last(&self, mark: i64, witness: &dyn Witness) -> Result<Vec<i64>, Error> {
        let end = tokio::time::Instant::now() + LEFT;
        loop {
            let images = self.marked(mark).await?;
            if !images.is_empty() || tokio::time::Instant::now() >= end {
                return Ok(images);
            }
            if witness.is_cancelled() {
                return Err(Error::Cancelled);
            }
            tokio::time::sleep(PACE).await;
        }
    }

    async fn new_mark(&self, step: &Import) -> Result<i64, Error> {
        let mut objects = Objects::new();
        let base = annotation(&mut objects, MARKS, "");
        let text_value = objects.put(RString::from(step.mark.as_str()));
        let mark = objects.add(CommentAnnotation { base: TextAnnotation { base, text_value } });
        self.save_one("marking", &step.path, mark.up(), &objects).await
    }

    async fn save_one(
        &self,
        doing: &str,
        what: &str,
        object: biomero_omero::Ref<IObject>,
        objects: &Objects,
    ) -> Result<i64, Error> {
        let failed = |source| Error::omero(format!("{doing} {what}"), source);
        let saved = self.update.save_and_return_object(Some(object), objects).await.map_err(failed)?;
        let id = saved.root().and_then(|saved_object| saved.objects.long(saved_object.id));
        id.ok_or_else(|| failed(OmeroError::Missing { what: format!("id of {what}") }))
    }

    /// The dataset that images go to. A new one is put into the project that the results belong to, if they belong to one.
    async fn dataset(&self, step: &Import) -> Result<i64, Error> {
        let name = match &step.dataset {
            Dataset::Id(id) => return Ok(*id),
            Dataset::Name(name) => name,
        };
        let parameters = QueryParameters::new().text("name", name).long("owner", self.user);
        if let Some(id) = self.first("for a dataset", DATASET, &parameters).await? {
            return Ok(id);
        }
        let mut objects = Objects::new();
        let dataset = DatasetObject {
            base: new(),
            name: objects.put(RString::from(name.as_str())),
            description: objects.put(RString::from(step.description.as_str())),
            ..DatasetObject::default()
        };
        let dataset = objects.add(dataset);
        let Some(project) = step.project else {
            return self.save_one("making the dataset", name, dataset.up(), &objects).await;
        };
        let parent = Project { base: known(&mut objects, project), ..Project::default() };
        let parent = objects.put(parent);
        let link =
            ProjectDatasetLink { base: new(), parent, child: Some(dataset), ..ProjectDatasetLink::default() };
        let link = objects.add(link);
        self.save_one("making the dataset", name, link.up(), &objects).await?;
        let made = self.first("for a dataset", DATASET, &parameters).await?;
        made.ok_or_else(|| {
            let source = OmeroError::Missing { what: format!("dataset {name}") };
            Error::omero("making a dataset".to_owned(), source)
        })
    }

    async fn run_importer(
        &self,
        folder: &Folder,
        step: &Import,
        importer: &Importer,
        dataset: i64,
        mark: i64,
        witness: &dyn Witness,
    ) -> Result<Vec<i64>, Error> {
        let failed = |source| Error::omero(format!("beginning a session to import {}", step.path), source);
        let file = folder.root.join(&step.path).canonicalize();
        let file = file.map_err(|source| Error::File { path: step.path.clone(), source })?;
        let sessions = self.session.sessions().await.map_err(failed)?;
        let milliseconds = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let begun = sessions.create_user_session(milliseconds(LIFE), milliseconds(IDLE), &self.group_name);
        let begun = begun.await.map_err(failed)?;
        let session = begun.root().and_then(|session| begun.objects.text(session.uuid)).map(str::to_owned);
        let session =
            session.ok_or_else(|| failed(OmeroError::Missing { what: "id of a session".to_owned() }))?;

        let cancelled = Arc::new(AtomicBool::new(false));
        let (importer, step_of, key, flag) =
            (importer.clone(), step.clone(), session.clone(), Arc::clone(&cancelled));
        let importing = blocking(move || {
            let Import { name, description, .. } = &step_of;
            let asked = Asked { file: &file, session: &key, dataset, name, description, mark };
            importer.import(&asked, &flag)
        });
        tokio::pin!(importing);
        let mut pace = tokio::time::interval(Duration::from_millis(100));
        let imported = loop {
            tokio::select! {
                done = &mut importing => break done,
                _ = pace.tick() => cancelled.store(witness.is_cancelled(), Ordering::Relaxed),
            }
        };
        let mut objects = Objects::new();
        let uuid = objects.put(RString::from(session));
        let over = objects.put(SessionObject { base: new(), uuid, ..SessionObject::default() });
        if let Err(error) = sessions.close_session(over, &objects).await {
            tracing::debug!(error = %error, "the importer's session is left to end by itself");
        }
        imported?.map_err(|source| match source {
            ImporterError::Cancelled => Error::Cancelled,
            source => Error::Importer { path: step.path.clone(), source },
        })
    }
}
