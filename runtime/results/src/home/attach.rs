//! Files: sent in blocks, compared by their digest, attached.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use biomero_omero::model::{ChecksumAlgorithm, FileAnnotation, OriginalFile, TypeAnnotation};
use biomero_omero::types::RString;
use biomero_omero::{Objects, QueryParameters, Upcast as _, Values as _};
use bytes::Bytes;
use sha1::{Digest as _, Sha1};

use super::link::{Kind, annotation, known, new};
use super::{Error, Home, Made, State, Witness, blocking};
use crate::folder::Folder;
use crate::plan::{Attachment, FILES};

/// Bytes of a block: the way there and back counts for little, and a message has room for many of them.
const BLOCK: usize = 4 << 20;
/// The digest that OMERO computes of what it has stored (SHA-1).
const DIGEST: &str = "SHA1-160";

/// Ours of this folder and name. They are told by the id of the workflow, which is part of the folder.
const FIND: &str = "select f.id, f.size, f.hash from OriginalFile f where f.path = :path and f.name = :name \
     and f.details.owner.id = :owner order by f.id";
/// What a file is attached by.
const ANNOTATION: &str = "select a.id from FileAnnotation a where a.file.id = :file order by a.id";

/// A file as OMERO has it.
#[derive(Debug)]
struct Stored {
    id: i64,
    size: Option<i64>,
    digest: Option<String>,
    annotation: Option<i64>,
}

/// A file as it is here.
struct Local {
    file: Arc<File>,
    size: u64,
    digest: String,
}

impl Home<'_> {
    async fn find_file(&self, step: &Attachment) -> Result<Option<Stored>, Error> {
        let parameters = QueryParameters::new()
            .text("path", &step.folder)
            .text("name", &step.name)
            .long("owner", self.user);
        let rows = self.rows("for a file", FIND, &parameters).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let read = || {
            let digest = row.maybe_text(2)?.map(str::to_owned);
            Ok((row.long(0)?, row.maybe_long(1)?, digest))
        };
        let (id, size, digest) = read().map_err(super::asked("for a file"))?;
        let annotation = self.annotation_of(id).await?;
        Ok(Some(Stored { id, size, digest, annotation }))
    }

    /// What a file is attached by.
    pub(super) async fn annotation_of(&self, file: i64) -> Result<Option<i64>, Error> {
        let parameters = QueryParameters::new().long("file", file);
        self.first("what a file is attached by", ANNOTATION, &parameters).await
    }

    pub(super) async fn look_attachment(&self, step: &Attachment) -> Result<Made, Error> {
        let Some(stored) = self.find_file(step).await? else {
            return Ok(Made::new(State::Missing, Vec::new()));
        };
        let objects = vec![format!("OriginalFile:{}", stored.id)];
        match stored.annotation {
            Some(id) if self.unlinked(id, &step.to).await?.is_empty() => {
                Ok(Made::new(State::There, vec![format!("FileAnnotation:{id}")]))
            }
            _ => Ok(Made::new(State::Partly, objects)),
        }
    }

    pub(super) async fn attach(
        &self,
        folder: &Folder,
        step: &Attachment,
        witness: &dyn Witness,
    ) -> Result<Made, Error> {
        let failed = |source| Error::File { path: step.path.clone(), source };
        let file = folder.open(&step.path).map_err(failed)?;
        let local = blocking(move || digest(file)).await?.map_err(failed)?;
        let stored = self.find_file(step).await?;
        let is_same = |stored: &Stored| {
            stored.digest.as_deref() == Some(&local.digest)
                && stored.size.map(i64::cast_unsigned) == Some(local.size)
        };
        let annotated = stored.as_ref().and_then(|stored| stored.annotation);
        let id = match stored {
            Some(stored) if is_same(&stored) => stored.id,
            // It was whole once: nobody replaces behind people's backs what they may have used.
            Some(stored) if stored.annotation.is_some() => {
                return Err(Error::Different { path: step.path.clone(), file: stored.id });
            }
            Some(stored) => {
                self.send(step, stored.id, &local, witness).await?;
                stored.id
            }
            None => {
                let id = self.new_file(step).await?;
                self.send(step, id, &local, witness).await?;
                id
            }
        };
        let annotation = match annotated {
            Some(annotation) => annotation,
            None => self.annotate_file(&step.path, id, FILES, &step.description, &step.to).await?,
        };
        let unlinked = self.unlinked(annotation, &step.to).await?;
        self.link(&step.path, Kind::File, annotation, &unlinked).await?;
        let state = if annotated.is_some() && unlinked.is_empty() { State::There } else { State::Made };
        Ok(Made::new(state, vec![format!("FileAnnotation:{annotation}")]))
    }

    /// A file without content. Its size and digest are left to the server, which says what it has stored.
    async fn new_file(&self, step: &Attachment) -> Result<i64, Error> {
        let mut objects = Objects::new();
        let algorithm = ChecksumAlgorithm { base: new(), value: objects.put(RString::from(DIGEST)) };
        let file = OriginalFile {
            base: new(),
            name: objects.put(RString::from(step.name.as_str())),
            path: objects.put(RString::from(step.folder.as_str())),
            mimetype: objects.put(RString::from(step.mimetype)),
            hasher: objects.put(algorithm),
            ..OriginalFile::default()
        };
        let file = objects.add(file);
        let failed = |source| Error::omero(format!("making a file for {}", step.path), source);
        let saved = self.update.save_and_return_object(Some(file.up()), &objects).await.map_err(failed)?;
        let id = saved.root().and_then(|saved_file| saved.objects.long(saved_file.id));
        id.ok_or_else(|| {
            failed(biomero_omero::Error::Missing { what: format!("id of the file {}", step.name) })
        })
    }

    /// Sends the content, from the beginning: writing the same again does no harm.
    async fn send(
        &self,
        step: &Attachment,
        id: i64,
        local: &Local,
        witness: &dyn Witness,
    ) -> Result<(), Error> {
        let failed = |source| Error::omero(format!("sending {}", step.path), source);
        let size = i64::try_from(local.size).map_err(|_| Error::File {
            path: step.path.clone(),
            source: io::Error::from(io::ErrorKind::FileTooLarge),
        })?;
        let store = self.session.raw_file_in(self.group).await.map_err(failed)?;
        store.set_file_id(id).await.map_err(failed)?;
        // An attempt that was killed may have left more.
        store.truncate(size).await.map_err(failed)?;
        let mut at = 0;
        while at < local.size {
            if witness.is_cancelled() {
                return Err(Error::Cancelled);
            }
            witness.at(at, local.size);
            let now = usize::try_from(local.size - at).unwrap_or(BLOCK).min(BLOCK);
            let file = Arc::clone(&local.file);
            let block = blocking(move || {
                let mut block = vec![0; now];
                file.read_exact_at(&mut block, at).map(|()| block)
            });
            let block = block.await?.map_err(|source| Error::File { path: step.path.clone(), source })?;
            let (position, count) =
                (i64::try_from(at).unwrap_or(i64::MAX), i32::try_from(now).unwrap_or(i32::MAX));
            store.write(&Bytes::from(block), position, count).await.map_err(failed)?;
            at += now as u64;
        }
        let saved = store.save().await.map_err(failed)?;
        let told = saved.root().map(|file| {
            (
                saved.objects.long(file.size).map(i64::cast_unsigned),
                saved.objects.text(file.hash).map(str::to_owned),
            )
        });
        store.close().await.map_err(failed)?;
        let mangled = |problem| Error::Mangled { path: step.path.clone(), file: id, problem };
        match told {
            Some((Some(size), Some(digest))) if size == local.size && digest == local.digest => Ok(()),
            Some((Some(size), Some(digest))) => Err(mangled(format!(
                "{size} bytes of the SHA-1 {digest}, not {} of {}",
                local.size, local.digest
            ))),
            _ => Err(mangled("it does not say what it has".to_owned())),
        }
    }

    /// Attaches a file that is whole.
    pub(super) async fn annotate_file(
        &self,
        what: &str,
        file: i64,
        namespace: &str,
        description: &str,
        to: &[crate::object::Object],
    ) -> Result<i64, Error> {
        let mut objects = Objects::new();
        let base = TypeAnnotation { base: annotation(&mut objects, namespace, description) };
        let original = OriginalFile { base: known(&mut objects, file), ..OriginalFile::default() };
        let file = objects.put(original);
        let annotation = objects.add(FileAnnotation { base, file });
        self.annotate(what, to, objects, annotation.up()).await
    }
}

/// A file, how long it is, and its digest.
fn digest(file: File) -> io::Result<Local> {
    let mut digest = Sha1::new();
    let mut block = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let read = file.read_at(&mut block, size)?;
        if read == 0 {
            break;
        }
        digest.update(&block[..read]);
        size += read as u64;
    }
    let digest = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Local { file: Arc::new(file), size, digest })
}
