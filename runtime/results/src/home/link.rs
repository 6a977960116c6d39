//! Annotations on objects: five classes of objects, each with a class of links of its own.

use biomero_omero::model::{
    Annotation, Dataset, DatasetAnnotationLink, FileAnnotation, IObject, Image, ImageAnnotationLink,
    MapAnnotation, Plate, PlateAnnotationLink, Project, ProjectAnnotationLink, Screen, ScreenAnnotationLink,
    TypeAnnotation,
};
use biomero_omero::types::{RLong, RString};
use biomero_omero::{Graph, Row};
use biomero_omero::{Objects, QueryParameters, Upcast as _, Values as _};

use super::{Error, Home};
use crate::object::{Class, Object};

/// A reference to an instance.
pub(super) type Ref<T> = biomero_omero::Ref<T>;

/// What kind of annotation is linked: the database looks for it among those of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file.
    File,
    /// Keys and values.
    Map,
}

/// A new object, to be saved.
pub(super) fn new() -> IObject {
    IObject { loaded: true, ..IObject::default() }
}

/// One that there is, of which nothing but its number is said.
pub(super) fn known(objects: &mut Objects, id: i64) -> IObject {
    IObject { id: objects.put(RLong::from(id)), ..IObject::default() }
}

/// What every annotation has.
pub(super) fn annotation(objects: &mut Objects, namespace: &str, description: &str) -> Annotation {
    Annotation {
        base: new(),
        ns: objects.put(RString::from(namespace)),
        description: (!description.is_empty()).then(|| objects.add(RString::from(description))),
        ..Annotation::default()
    }
}

/// A link from an object to an annotation.
pub(super) fn link(objects: &mut Objects, to: Object, child: Ref<Annotation>) -> Ref<IObject> {
    let base = known(objects, to.id);
    /// A link of a class.
    macro_rules! of {
        ($class:ident, $link:ident) => {{
            let parent = objects.put($class { base, ..$class::default() });
            objects.add($link { base: new(), parent, child: Some(child), ..$link::default() }).up()
        }};
    }
    match to.class {
        Class::Image => of!(Image, ImageAnnotationLink),
        Class::Dataset => of!(Dataset, DatasetAnnotationLink),
        Class::Project => of!(Project, ProjectAnnotationLink),
        Class::Plate => of!(Plate, PlateAnnotationLink),
        Class::Screen => of!(Screen, ScreenAnnotationLink),
    }
}

/// The links between an object and an annotation.
const fn links(class: Class) -> &'static str {
    match class {
        Class::Image => {
            "select l.id from ImageAnnotationLink l where l.parent.id = :parent and l.child.id = :child"
        }
        Class::Dataset => {
            "select l.id from DatasetAnnotationLink l where l.parent.id = :parent and l.child.id = :child"
        }
        Class::Project => {
            "select l.id from ProjectAnnotationLink l where l.parent.id = :parent and l.child.id = :child"
        }
        Class::Plate => {
            "select l.id from PlateAnnotationLink l where l.parent.id = :parent and l.child.id = :child"
        }
        Class::Screen => {
            "select l.id from ScreenAnnotationLink l where l.parent.id = :parent and l.child.id = :child"
        }
    }
}

impl Home<'_> {
    /// The first id that a query selects.
    pub(super) async fn first(
        &self,
        what: &str,
        query: &'static str,
        parameters: &QueryParameters,
    ) -> Result<Option<i64>, Error> {
        let rows = self.rows(what, query, parameters).await?;
        rows.first().map(|row| row.long(0)).transpose().map_err(super::asked(what))
    }

    /// The rows that a query selects.
    pub(super) async fn rows(
        &self,
        what: &str,
        query: &'static str,
        parameters: &QueryParameters,
    ) -> Result<Vec<Row>, Error> {
        self.query.rows(query, parameters).await.map_err(super::asked(what))
    }

    /// Those of these objects that an annotation is not linked to.
    pub(super) async fn unlinked(&self, annotation: i64, to: &[Object]) -> Result<Vec<Object>, Error> {
        let mut unlinked = Vec::new();
        for object in to {
            let parameters = QueryParameters::new().long("parent", object.id).long("child", annotation);
            if self.first("what it has attached", links(object.class), &parameters).await?.is_none() {
                unlinked.push(*object);
            }
        }
        Ok(unlinked)
    }

    /// Saves a new annotation with its first link, which OMERO does both or neither; its id.
    pub(super) async fn annotate(
        &self,
        what: &str,
        to: &[Object],
        mut objects: Objects,
        annotation: Ref<Annotation>,
    ) -> Result<i64, Error> {
        let first = *to.first().ok_or(Error::NoTarget)?;
        let link = link(&mut objects, first, annotation);
        let saving = || format!("attaching {what} to {first}");
        let failed = |source| Error::omero(saving(), source);
        let saved = self.update.save_and_return_object(Some(link), &objects).await.map_err(failed)?;
        let id = saved.root().and_then(|_| child(&saved, first.class));
        id.ok_or_else(|| {
            failed(biomero_omero::Error::Missing { what: format!("id of the annotation {what}") })
        })
    }

    /// Links an annotation that there is.
    pub(super) async fn link(
        &self,
        what: &str,
        kind: Kind,
        annotation: i64,
        to: &[Object],
    ) -> Result<(), Error> {
        for object in to {
            let mut objects = Objects::new();
            let base = Annotation { base: known(&mut objects, annotation), ..Annotation::default() };
            let child: Ref<Annotation> = match kind {
                Kind::Map => objects.add(MapAnnotation { base, ..MapAnnotation::default() }).up(),
                Kind::File => {
                    let base = TypeAnnotation { base };
                    objects.add(FileAnnotation { base, ..FileAnnotation::default() }).up()
                }
            };
            let link = link(&mut objects, *object, child);
            let failed = |source| Error::omero(format!("attaching {what} to {object}"), source);
            self.update.save_object(Some(link), &objects).await.map_err(failed)?;
        }
        Ok(())
    }
}

/// The id of the annotation of a link that was saved.
fn child(saved: &Graph<Option<Ref<IObject>>>, class: Class) -> Option<i64> {
    let link = saved.value?;
    /// The annotation of a link of a class.
    macro_rules! of {
        ($link:ident) => {
            saved.objects.get::<$link>(link)?.child
        };
    }
    let child = match class {
        Class::Image => of!(ImageAnnotationLink),
        Class::Dataset => of!(DatasetAnnotationLink),
        Class::Project => of!(ProjectAnnotationLink),
        Class::Plate => of!(PlateAnnotationLink),
        Class::Screen => of!(ScreenAnnotationLink),
    };
    saved.objects.long(saved.objects.at(child)?.base.id)
}
