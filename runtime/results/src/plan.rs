//! What becomes of a folder of results: decided before anything is done, from what is on the disk and what OMERO knows.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::folder::{Folder, Found, Kind, LeftOut, stem};
use crate::label;
use crate::matching::assign;
use crate::object::{Class, Object};
use crate::rename::Pattern;
use crate::table::{Names, Shape, TableError};
use crate::workflow::{KeyValues, Workflow};

/// The namespace of files that BIOMERO attaches.
pub const FILES: &str = "openmicroscopy.org/omero/scripts/results/created/SLURM/SLURM_GET_RESULTS";
/// The namespace of OMERO's tables, by which its clients find them.
pub const TABLES: &str = "openmicroscopy.org/omero/bulk_annotations";

/// What tells a label image from other results of one source, as BIOMERO has it.
const HINTS: [&str; 5] = ["mask", "label", "segment", "instance", "prediction"];

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What the results belong to.
    pub targets: Vec<Object>,
    /// Whose results they are.
    pub workflow: Workflow,
    /// What is attached as a file.
    pub attach: BTreeSet<Kind>,
    /// Whether tables become tables of OMERO, too.
    pub tables: bool,
    /// Which label images are drawn as regions of interest.
    pub rois: Option<Rois>,
    /// Whether images are imported, and where to.
    pub images: Option<Images>,
}

/// How images are imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Where to.
    pub dataset: Dataset,
    /// What they are called; as their files, unless it is said.
    pub rename: Option<Pattern>,
}

/// Which label images are drawn, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rois {
    /// Names or paths of them, with `*` and `?`. Without one those that cannot be anything else are taken: the only image that was
    /// made of a source, or those whose names say so.
    pub pattern: Option<String>,
    /// How.
    pub form: Form,
}

/// How an object is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Sample by sample.
    Mask,
    /// By its outline, holes filled.
    Polygon,
}

/// Where images are imported to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dataset {
    /// One that there is.
    Id(i64),
    /// The one of this name; made where there is none.
    Name(String),
}

/// An image of OMERO that results may have been made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceImage {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Time, channel, z, y, x.
    pub sides: [usize; 5],
}

/// What is known before anything is decided.
#[derive(Debug, Default)]
pub struct Known {
    /// The images that the targets are or hold.
    pub images: Vec<SourceImage>,
    /// What tables may name.
    pub names: Names,
    /// What is in tables, by their paths.
    pub tables: BTreeMap<String, Result<Shape, TableError>>,
    /// Label images that images hold, by the paths of those: their names.
    pub labels: BTreeMap<String, Vec<String>>,
}

/// A file that is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attachment {
    /// The file, from the folder of results on.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// What it is called in OMERO.
    pub name: String,
    /// The folder that OMERO is told; with the name it is what the file is known by.
    pub folder: String,
    /// Its type.
    pub mimetype: &'static str,
    /// What stands beside it.
    pub description: String,
    /// What it is attached to.
    pub to: Vec<Object>,
}

/// A table of OMERO.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Table {
    /// The file that it is made of.
    pub path: String,
    /// What it is called in OMERO, which it is known by.
    pub name: String,
    /// What is in it.
    #[serde(flatten)]
    pub shape: Shape,
    /// What stands beside it.
    pub description: String,
    /// What it is attached to.
    pub to: Vec<Object>,
}

/// A label image that is drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drawing {
    /// The file.
    pub path: String,
    /// The label image in it, where it is not the image itself.
    pub label: Option<String>,
    /// What each region is called, before its number.
    pub name: String,
    /// What stands beside each; with its name it is what a region is known by.
    pub description: String,
    /// The image that it is drawn on.
    pub image: i64,
    /// The sides of that image.
    #[serde(skip)]
    pub sides: [usize; 5],
    /// How.
    pub form: Form,
}

/// Keys and values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Description {
    /// Their namespace.
    pub namespace: String,
    /// Keys and values, in their order.
    pub pairs: Vec<(String, String)>,
    /// What they are written beside.
    pub to: Vec<Object>,
}

/// An image that is imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Import {
    /// The file, or the folder of an OME-Zarr.
    pub path: String,
    /// What it is called in OMERO.
    pub name: String,
    /// Where it goes.
    pub dataset: Dataset,
    /// What stands beside it.
    pub description: String,
    /// The image that it was made of.
    pub source: Option<i64>,
    /// The project that a new dataset is put into.
    pub project: Option<i64>,
    /// What it is known by.
    pub mark: String,
}

/// One thing that is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "lowercase")]
pub enum Step {
    /// What the workflow was is written beside its targets.
    Describe(Description),
    /// A file is attached.
    Attach(Attachment),
    /// A table is stored.
    Table(Table),
    /// Regions of interest are drawn.
    Draw(Drawing),
    /// An image is imported.
    Import(Import),
}

/// All that is done, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Whose results they are.
    pub workflow: String,
    /// The steps.
    pub steps: Vec<Step>,
    /// What stays where it is, and why.
    pub left_out: Vec<LeftOut>,
}

/// Decides.
#[must_use]
pub fn plan(folder: &Folder, request: &Request, known: &Known) -> Plan {
    let workflow = &request.workflow;
    let mut steps = Vec::new();
    for KeyValues { namespace, pairs } in workflow.key_values() {
        steps.push(Step::Describe(Description { namespace, pairs, to: request.targets.clone() }));
    }
    let mut left_out = folder.left_out.clone();
    let sources = sources(folder, known);
    for found in &folder.files {
        let source = sources.get(found.path.as_str()).map(|number| &known.images[*number]);
        if request.attach.contains(&found.kind) && found.kind != Kind::Zarr {
            steps.push(Step::Attach(attachment(found, workflow, source, &request.targets)));
        }
        if found.kind == Kind::Table && request.tables {
            match known.tables.get(&found.path) {
                Some(Ok(shape)) => steps.push(Step::Table(table(found, shape, workflow, &request.targets))),
                Some(Err(error)) => left_out.push(LeftOut {
                    path: found.path.clone(),
                    reason: format!("it is no table of OMERO: {error}"),
                }),
                None => {}
            }
        }
        if let Some(images) = &request.images
            && matches!(found.kind, Kind::Image | Kind::Zarr)
        {
            steps.push(Step::Import(import(found, images, workflow, source, &request.targets)));
        } else if found.kind == Kind::Zarr && request.attach.contains(&Kind::Zarr) {
            let reason = "an OME-Zarr is a folder, which is no attachment; import it, or pack it";
            left_out.push(LeftOut { path: found.path.clone(), reason: reason.to_owned() });
        }
    }
    if let Some(rois) = &request.rois {
        draw(folder, rois, workflow, known, &sources, &mut steps, &mut left_out);
    }
    Plan { workflow: workflow.id.to_string(), steps, left_out }
}

/// Which image each result image was made of: places among those that are known.
fn sources<'f>(folder: &'f Folder, known: &Known) -> BTreeMap<&'f str, usize> {
    let images: Vec<&Found> =
        folder.files.iter().filter(|found| matches!(found.kind, Kind::Image | Kind::Zarr)).collect();
    let results: Vec<&str> = images.iter().map(|found| found.name()).collect();
    let names: Vec<&str> = known.images.iter().map(|image| image.name.as_str()).collect();
    let assigned = assign(&results, &names);
    images.iter().zip(assigned).filter_map(|(found, source)| Some((found.path.as_str(), source?))).collect()
}

fn describe(workflow: &Workflow, source: Option<&SourceImage>) -> String {
    match source {
        Some(source) => format!("{} | source: {} (id: {})", workflow.description(), source.name, source.id),
        None => workflow.description(),
    }
}

fn attachment(
    found: &Found,
    workflow: &Workflow,
    source: Option<&SourceImage>,
    targets: &[Object],
) -> Attachment {
    let name = found.name();
    let id = workflow.id;
    // As BIOMERO calls them, so that results of several workflows on one image are told apart.
    let name = match found.kind {
        Kind::Image => match name.find('.').and_then(|dot| name.split_at_checked(dot)) {
            Some((stem, ending)) => format!("{stem}.{id}{ending}"),
            None => format!("{name}.{id}"),
        },
        Kind::Table => table_name(name, workflow),
        _ => name.to_owned(),
    };
    // An image belongs to that which it was made of, all else to what the results belong to.
    let to = match source {
        Some(source) => vec![Object { class: Class::Image, id: source.id }],
        None => targets.to_vec(),
    };
    Attachment {
        path: found.path.clone(),
        size: found.size,
        name,
        folder: format!("biomero/{id}/{}", found.parent()),
        mimetype: found.mimetype(),
        description: describe(workflow, source),
        to,
    }
}

fn table(found: &Found, shape: &Shape, workflow: &Workflow, targets: &[Object]) -> Table {
    Table {
        path: found.path.clone(),
        name: format!("{}{}", found.parent(), table_name(found.name(), workflow)),
        shape: shape.clone(),
        description: workflow.description(),
        to: targets.to_vec(),
    }
}

fn import(
    found: &Found,
    images: &Images,
    workflow: &Workflow,
    source: Option<&SourceImage>,
    targets: &[Object],
) -> Import {
    let name = found.name();
    let original = source.map_or(name, |source| source.name.as_str());
    let project = targets.iter().find(|target| target.class == Class::Project);
    Import {
        path: found.path.clone(),
        name: images.rename.as_ref().map_or_else(|| name.to_owned(), |pattern| pattern.name(name, original)),
        dataset: images.dataset.clone(),
        description: describe(workflow, source),
        source: source.map(|source| source.id),
        project: project.map(|project| project.id),
        mark: format!("{}: {}", workflow.id, found.path),
    }
}

/// `measurements.csv` of job 7 as `measurements_7_WORKFLOW.csv`.
fn table_name(name: &str, workflow: &Workflow) -> String {
    let bare = stem(name);
    let ending = name.strip_prefix(bare).unwrap_or_default();
    let job = workflow.job.as_ref().map(|job| format!("_{job}")).unwrap_or_default();
    format!("{bare}{job}_{}{ending}", workflow.id)
}

/// What is drawn, and on what.
fn draw(
    folder: &Folder,
    rois: &Rois,
    workflow: &Workflow,
    known: &Known,
    sources: &BTreeMap<&str, usize>,
    steps: &mut Vec<Step>,
    left_out: &mut Vec<LeftOut>,
) {
    let mut leave = |found: &Found, reason: &str| {
        left_out.push(LeftOut { path: found.path.clone(), reason: format!("it is not drawn: {reason}") });
    };
    let images: Vec<&Found> =
        folder.files.iter().filter(|found| matches!(found.kind, Kind::Image | Kind::Zarr)).collect();
    for found in &images {
        let within = known.labels.get(&found.path).map(Vec::as_slice).unwrap_or_default();
        let Some(number) = sources.get(found.path.as_str()) else {
            // Of other images nobody has asked.
            if !within.is_empty() || rois.pattern.as_ref().is_some_and(|pattern| fits(pattern, found)) {
                leave(found, "no image of OMERO has a name like it");
            }
            continue;
        };
        let source = &known.images[*number];
        let others = images.iter().filter(|other| sources.get(other.path.as_str()) == Some(number)).count();
        let is_meant = match &rois.pattern {
            Some(pattern) => fits(pattern, found),
            None => others == 1 || is_hinted(found.name(), &source.name),
        };
        if !is_meant {
            if rois.pattern.is_none() {
                leave(
                    found,
                    "it is one of several images of its source, and its name does not say that it is a label image",
                );
            }
            continue;
        }
        if found.kind == Kind::Image && found.mimetype() != "image/tiff" {
            leave(found, "label images are read as TIFF and OME-Zarr only; write it as one");
            continue;
        }
        // The label images of an image, or else the image.
        let labels: Vec<Option<&String>> =
            if within.is_empty() { vec![None] } else { within.iter().map(Some).collect() };
        for label in labels {
            let place =
                label.map_or_else(|| found.path.clone(), |label| format!("{}/labels/{label}", found.path));
            steps.push(Step::Draw(Drawing {
                path: found.path.clone(),
                label: label.cloned(),
                name: label.map_or_else(|| stem(found.name()).to_owned(), Clone::clone),
                description: format!("{place}, workflow {}", workflow.id),
                image: source.id,
                sides: source.sides,
                form: rois.form,
            }));
        }
    }
}

/// Whether a pattern is of a name or a path.
fn fits(pattern: &str, found: &Found) -> bool {
    is_like(pattern, found.name()) || is_like(pattern, &found.path)
}

/// Whether what a name has besides that of its source says that it is a label image.
fn is_hinted(result: &str, source: &str) -> bool {
    let own = result.to_lowercase().replace(&stem(source).to_lowercase(), "");
    HINTS.iter().any(|hint| own.contains(hint))
}

/// `*` stands for anything, `?` for one letter.
fn is_like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut here) = (0, 0);
    // Behind the last star, and how much it stands for so far.
    let mut star = None;
    while here < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at + 1, here));
                at += 1;
            }
            Some(letter) if *letter == '?' || *letter == text[here] => {
                at += 1;
                here += 1;
            }
            _ => match star {
                Some((behind, from)) => {
                    star = Some((behind, from + 1));
                    (at, here) = (behind, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

/// Looks into tables, and into images where label images are asked for: what [`plan`] has to know of the disk.
pub fn look(folder: &Folder, request: &Request, known: &mut Known) {
    for found in &folder.files {
        match found.kind {
            Kind::Table if request.tables => {
                let shape = crate::table::read(folder, &found.path);
                known.tables.insert(found.path.clone(), shape);
            }
            Kind::Zarr if request.rois.is_some() => {
                let names = label::names(&folder.place(found));
                if !names.is_empty() {
                    known.labels.insert(found.path.clone(), names);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use uuid::Uuid;

    use super::*;

    const ID: Uuid = Uuid::from_u128(7);

    fn folder(files: &[(&str, Kind)]) -> Folder {
        let files = files.iter().map(|(path, kind)| Found { path: (*path).to_owned(), kind: *kind, size: 3 });
        Folder { root: PathBuf::from("/results"), files: files.collect(), left_out: Vec::new() }
    }

    fn request() -> Request {
        Request {
            targets: vec![Object { class: Class::Dataset, id: 5 }],
            workflow: Workflow { job: Some("4711".to_owned()), ..Workflow::of(ID) },
            attach: [Kind::Image, Kind::Table, Kind::Log, Kind::Archive, Kind::Other].into(),
            tables: true,
            rois: Some(Rois { pattern: None, form: Form::Mask }),
            images: None,
        }
    }

    fn known() -> Known {
        let image = |id, name: &str| SourceImage { id, name: name.to_owned(), sides: [1, 1, 1, 4, 4] };
        Known { images: vec![image(1, "cells.tif"), image(2, "nuclei.tif")], ..Known::default() }
    }

    fn told(plan: &Plan) -> Vec<String> {
        let one = |step: &Step| match step {
            Step::Describe(step) => format!("describe {} {}", step.namespace, shown(&step.to)),
            Step::Attach(step) => format!("attach {}{} {}", step.folder, step.name, shown(&step.to)),
            Step::Table(step) => format!("table {} {}", step.name, shown(&step.to)),
            Step::Draw(step) => format!("draw {} ({}) on {}", step.name, step.description, step.image),
            Step::Import(step) => format!("import {} as {} ({})", step.path, step.name, step.mark),
        };
        plan.steps.iter().map(one).collect()
    }

    fn shown(objects: &[Object]) -> String {
        objects.iter().map(Object::to_string).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn images_go_to_their_source_and_all_else_to_the_target() {
        let folder = folder(&[
            ("cells_mask.tif", Kind::Image),
            ("omero-4711.log", Kind::Log),
            ("out/measured.csv", Kind::Table),
            ("strange.tif", Kind::Image),
        ]);
        let mut known = known();
        known.tables.insert("out/measured.csv".to_owned(), Ok(Shape { columns: Vec::new(), rows: 0 }));
        let plan = plan(&folder, &request(), &known);
        assert_eq!(
            told(&plan),
            [
                "describe biomero/workflow Dataset:5".to_owned(),
                "describe biomero/workflow/task/workflow/job Dataset:5".to_owned(),
                format!("attach biomero/{ID}/cells_mask.{ID}.tif Image:1"),
                format!("attach biomero/{ID}/omero-4711.log Dataset:5"),
                format!("attach biomero/{ID}/out/measured_4711_{ID}.csv Dataset:5"),
                format!("table out/measured_4711_{ID}.csv Dataset:5"),
                format!("attach biomero/{ID}/strange.{ID}.tif Dataset:5"),
                format!("draw cells_mask (cells_mask.tif, workflow {ID}) on 1"),
            ]
        );
        assert_eq!(plan.left_out, []);
    }

    #[test]
    fn of_several_images_of_a_source_those_are_drawn_whose_names_say_so() {
        let files = folder(&[
            ("cells.denoised.tif", Kind::Image),
            ("cells.labels.tif", Kind::Image),
            ("nuclei.ome.zarr", Kind::Zarr),
            ("nuclei_seg.png", Kind::Image),
        ]);
        let mut known = known();
        known.labels.insert("nuclei.ome.zarr".to_owned(), vec!["a".to_owned(), "b".to_owned()]);
        let mut asked = Request { attach: BTreeSet::new(), tables: false, ..request() };
        asked.workflow.job = None;
        let drawn = plan(&files, &asked, &known);
        assert_eq!(told(&drawn)[1..], [format!("draw cells.labels (cells.labels.tif, workflow {ID}) on 1")]);
        let reasons: Vec<&str> = drawn.left_out.iter().map(|left| left.path.as_str()).collect();
        assert_eq!(reasons, ["cells.denoised.tif", "nuclei.ome.zarr", "nuclei_seg.png"]);

        asked.rois = Some(Rois { pattern: Some("nuclei*".to_owned()), form: Form::Polygon });
        let drawn = plan(&files, &asked, &known);
        assert_eq!(
            told(&drawn)[1..],
            [
                format!("draw a (nuclei.ome.zarr/labels/a, workflow {ID}) on 2"),
                format!("draw b (nuclei.ome.zarr/labels/b, workflow {ID}) on 2"),
            ]
        );
        assert!(drawn.left_out[0].reason.contains("TIFF and OME-Zarr only"), "{:?}", drawn.left_out);
    }

    #[test]
    fn imported_images_are_called_as_the_pattern_says_and_known_by_their_mark() {
        let files = folder(&[("out/cells_mask.tif", Kind::Image), ("a.ome.zarr", Kind::Zarr)]);
        let mut asked = Request { attach: BTreeSet::new(), rois: None, ..request() };
        asked.workflow.job = None;
        asked.targets = vec![Object { class: Class::Project, id: 9 }];
        let rename = Some("{original_file}-{file}.{ext}".parse().expect("it is a pattern"));
        asked.images = Some(Images { dataset: Dataset::Name("new".to_owned()), rename });
        let plan = plan(&files, &asked, &known());
        assert_eq!(
            told(&plan)[1..],
            [
                format!("import a.ome.zarr as a-a.ome.zarr ({ID}: a.ome.zarr)"),
                format!("import out/cells_mask.tif as cells-cells_mask.tif ({ID}: out/cells_mask.tif)"),
            ]
            .map(|step| step)
        );
        let project = |step: &Step| matches!(step, Step::Import(Import { project: Some(9), .. }));
        assert!(plan.steps[1..].iter().all(project));
    }

    #[test]
    fn what_is_no_table_is_attached_and_told() {
        let files = folder(&[("a.csv", Kind::Table), ("image.zarr", Kind::Zarr)]);
        let mut known = known();
        known.tables.insert("a.csv".to_owned(), Err(TableError::Empty));
        let mut asked = request();
        asked.attach.insert(Kind::Zarr);
        let plan = plan(&files, &asked, &known);
        assert!(plan.steps.iter().any(|step| matches!(step, Step::Attach(step) if step.path == "a.csv")));
        let left: Vec<&str> = plan.left_out.iter().map(|left| left.reason.as_str()).collect();
        assert!(
            left[0].contains("no table of OMERO: it is empty") && left[1].contains("pack it"),
            "{left:?}"
        );
    }

    #[test]
    fn a_star_stands_for_anything_and_a_question_mark_for_one_letter() {
        for (pattern, text, is) in [
            ("*_mask.tif", "cells_mask.tif", true),
            ("*mask*", "a mask, two masks", true),
            ("?.tif", "ü.tif", true),
            ("?.tif", ".tif", false),
            ("*a*b*c", "aXbXbXc", true),
            ("*a*b*c", "aXcXb", false),
            ("", "", true),
            ("**", "", true),
        ] {
            assert_eq!(is_like(pattern, text), is, "{pattern} {text}");
        }
    }
}
