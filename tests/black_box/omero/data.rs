//! What is asked and stored in a session.

use std::time::Duration;

use biomero_omero::model::enums::UnitsLength;
use biomero_omero::model::{
    Image, ImageAnnotationLink, JobOriginalFileLink, MapAnnotation, OriginalFile, ScriptJob, TagAnnotation,
};
use biomero_omero::types::{RLong, RString};
use biomero_omero::{
    Error, Exception, Graph, Objects, QueryParameters, Remote as _, Upcast as _, Value, Values as _,
};
use biomero_tests::blitz::Omero;
use biomero_tests::{Result, Trouble};
use bytes::Bytes;

use super::{root, run, seen, trouble};

#[test]
fn a_projection_gives_rows_of_values_on_behalf_of_a_group() -> Result<()> {
    let omero = Omero::start()?;
    run(async {
        let session = root(&omero).await?;
        let query = session.query().await.map_err(trouble)?.in_group(-1);
        let named = QueryParameters::new().text("name", "' or 1=1");
        let rows =
            query.rows("select i.name from Image i where i.name = :name", &named).await.map_err(trouble)?;
        let [row] = rows.as_slice() else { return Err(Trouble::new(format!("{rows:?}"))) };
        assert_eq!(row.text(0).map_err(trouble)?, "größe");
        assert_eq!((row.long(1).map_err(trouble)?, row.long(2).map_err(trouble)?), (42, 300));
        assert_eq!(row.maybe_double(3).map_err(trouble)?, Some(0.5));
        assert!(row.flag(4).map_err(trouble)?);
        assert_eq!(row.value(5), &Value::Time(1_700_000_000_000));
        assert_eq!(row.value(6), &Value::List(vec![Value::Int(1), Value::Text("two".to_owned())]));
        assert_eq!(row.value(7), &Value::Map([("a".to_owned(), Value::Long(1))].into()));
        assert_eq!(row.maybe_text(8).map_err(trouble)?, None);
        assert_eq!(seen(&session, "group").await?, "-1");

        let ids: Vec<i64> = (0..3000).collect();
        let listed = QueryParameters::new().longs("ids", &ids);
        let rows = query
            .rows("select i.id, i.name, i.series from Image i where i.id in (:ids)", &listed)
            .await
            .map_err(trouble)?;
        assert_eq!(rows.len(), 3000);
        assert_eq!(rows[2999].text(1).map_err(trouble)?, "image 2999");
        Ok(())
    })
}

#[test]
fn a_graph_comes_with_all_that_was_fetched_and_its_ways_back() -> Result<()> {
    let omero = Omero::start()?;
    run(async {
        let session = root(&omero).await?;
        let query = session.query().await.map_err(trouble)?;
        let text = "select i from Image i join fetch i.pixels join fetch i.annotationLinks where i.id = :id";
        let found: Graph<_> =
            query.one::<Image>(text, &QueryParameters::new().long("id", 7)).await.map_err(trouble)?;
        let image = found.root().ok_or_else(|| Trouble::new("there is no image"))?;
        let objects = &found.objects;
        assert_eq!((objects.long(image.base.id), objects.text(image.name)), (Some(7), Some("cells.tiff")));

        let pixels = objects.at(image.pixels_seq[0]).ok_or_else(|| Trouble::new("there are no pixels"))?;
        assert_eq!(pixels.image, found.value);
        let size = objects.at(pixels.physical_size_x).ok_or_else(|| Trouble::new("there is no size"))?;
        assert_eq!(objects.int(pixels.size_x), Some(1300));
        assert_eq!((size.value, size.unit), (0.5, UnitsLength::Micrometer));
        let names: Vec<_> = objects
            .each(&pixels.channels_seq)
            .map(|channel| objects.text(objects.at(channel.logical_channel)?.name))
            .collect();
        assert_eq!(names, [Some("DAPI"), Some("GFP")]);

        let details = objects.at(image.base.details).ok_or_else(|| Trouble::new("there are no details"))?;
        assert_eq!(objects.at(details.owner).and_then(|owner| objects.text(owner.ome_name)), Some("reader"));
        let permissions =
            objects.at(details.permissions).ok_or_else(|| Trouble::new("there are no permissions"))?;
        assert_eq!((permissions.restrictions.as_slice(), permissions.perm1), ([false, true].as_slice(), -35));

        let links: Vec<&ImageAnnotationLink> = objects.each(&image.annotation_links_seq).collect();
        let [tag, map] = links[..] else { return Err(Trouble::new(format!("{links:?}"))) };
        assert_eq!((tag.parent, tag.base.details), (found.value, image.base.details));
        let child =
            |link: &ImageAnnotationLink| link.child.ok_or_else(|| Trouble::new("a link leads nowhere"));
        let tag: &TagAnnotation = objects.get(child(tag)?).ok_or_else(|| Trouble::new("it is no tag"))?;
        assert_eq!(objects.text(tag.base.text_value), Some("a tag"));
        let map: &MapAnnotation = objects.get(child(map)?).ok_or_else(|| Trouble::new("it is no map"))?;
        assert_eq!(map.map_value.len(), 2);
        assert_eq!(objects.at(map.map_value[0]).map(|pair| pair.value.as_str()), Some("value"));
        assert_eq!(map.map_value[1], None);

        let none = query.one::<Image>(text, &QueryParameters::new().long("id", -1)).await.map_err(trouble)?;
        assert!(none.root().is_none());
        let wrong = query.one::<ScriptJob>(text, &QueryParameters::new().long("id", 7)).await.err();
        let wrong = wrong.ok_or_else(|| Trouble::new("an image is a job"))?.to_string();
        assert!(wrong.contains("found ::omero::model::Image where ScriptJob was asked for"), "{wrong}");
        Ok(())
    })
}

#[test]
fn an_exception_of_omero_is_told_with_its_message_and_tried_again_where_it_says_so() -> Result<()> {
    let omero = Omero::start()?;
    run(async {
        let session = root(&omero).await?;
        let query = session.query().await.map_err(trouble)?;
        let error =
            query.rows("select :missing", &QueryParameters::new().text("missing", "here")).await.err();
        let error = error.ok_or_else(|| Trouble::new("a wrong query has an answer"))?;
        assert_eq!(
            error.to_string(),
            "OMERO could not do projection: QueryException: unexpected token: here"
        );
        assert!(error.is(Exception::ApiUsageException) && !error.is(Exception::ValidationException));
        let raised = error.raised().ok_or_else(|| Trouble::new("nothing was raised"))?;
        assert_eq!(
            (raised.exception(), raised.class()),
            (Exception::QueryException, "ome.conditions.QueryException")
        );
        assert!(
            raised.stack_trace().contains("ome.tools.Up") && !format!("{error:?}").contains("ome.tools.Up")
        );

        // Busy twice, with a back-off of 20 ms.
        let rows =
            query.rows("select :busy", &QueryParameters::new().long("busy", 1)).await.map_err(trouble)?;
        assert_eq!((rows.len(), seen(&session, "busy").await?.as_str()), (1, "3"));
        Ok(())
    })
}

/// What Blitz makes a tile of.
fn sample(index: usize, z: usize, c: usize, t: usize) -> u8 {
    u8::try_from((index % 251 + z + c + t) % 251).unwrap_or_default()
}

#[test]
fn tiles_come_whole_up_to_the_size_of_a_message() -> Result<()> {
    let omero = Omero::start()?;
    run(async {
        let session = root(&omero).await?;
        let pixels = session.raw_pixels().await.map_err(trouble)?;
        let error =
            pixels.set_pixels_id(41, false).await.err().ok_or_else(|| Trouble::new("there are pixels 41"))?;
        assert!(error.is(Exception::ValidationException), "{error}");
        pixels.set_pixels_id(42, false).await.map_err(trouble)?;
        assert_eq!(pixels.get_byte_width().await.map_err(trouble)?, 2);
        assert_eq!(pixels.get_tile_size().await.map_err(trouble)?, [1024, 256]);
        let large = pixels.with_timeout(Duration::from_secs(90));
        for (width, height) in [(1024, 512), (6144, 5000)] {
            let tile = large.get_tile(3, 1, 4, 0, 0, width, height).await.map_err(trouble)?;
            assert_eq!(tile.len(), usize::try_from(width * height * 2).map_err(trouble)?);
            let wrong = tile.iter().enumerate().find(|(index, byte)| **byte != sample(*index, 3, 1, 4));
            assert_eq!(wrong, None);
        }
        // Several at a time over the one connection, each the one that was asked for.
        let several = (0..8).map(|c| {
            let pixels = (*pixels).clone();
            tokio::spawn(async move { (c, pixels.get_tile(0, c, 0, 0, 0, 256, 256).await) })
        });
        for tile in several.collect::<Vec<_>>() {
            let (c, tile) = tile.await.map_err(trouble)?;
            let c = usize::try_from(c).map_err(trouble)?;
            assert_eq!(tile.map_err(trouble)?.first().copied(), Some(sample(0, 0, c, 0)));
        }
        Ok(())
    })
}

#[test]
fn a_file_is_made_written_linked_to_its_job_and_read_back() -> Result<()> {
    let omero = Omero::start()?;
    run(async {
        let session = root(&omero).await?;
        let update = session.update().await.map_err(trouble)?;
        let mut objects = Objects::new();
        let file = OriginalFile {
            name: objects.put(RString::from("stdout")),
            mimetype: objects.put(RString::from("text/plain")),
            ..OriginalFile::default()
        };
        let file = objects.add(file);
        let saved = update.save_and_return_object(Some(file.up()), &objects).await.map_err(trouble)?;
        let id = saved.root().and_then(|saved| saved.id).and_then(|id| saved.objects.long(Some(id)));
        let id = id.ok_or_else(|| Trouble::new("what was saved has no id"))?;
        let kept: &OriginalFile = saved
            .value
            .and_then(|saved_file| saved.objects.get(saved_file))
            .ok_or_else(|| Trouble::new("what was saved is no file"))?;
        assert_eq!(saved.objects.text(kept.mimetype), Some("text/plain"));

        let text: Bytes =
            (0..300_000_u32).flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>().into();
        let store = session.raw_file().await.map_err(trouble)?;
        store.set_file_id(id).await.map_err(trouble)?;
        for (number, block) in text.chunks(1 << 16).enumerate() {
            let position = i64::try_from(number << 16).map_err(trouble)?;
            let length = i32::try_from(block.len()).map_err(trouble)?;
            store.write(&text.slice_ref(block), position, length).await.map_err(trouble)?;
        }
        assert_eq!(store.size().await.map_err(trouble)?, 1_200_000);
        assert_eq!(store.read(0, 1_200_000).await.map_err(trouble)?, text);
        assert_eq!(store.read(65_530, 10).await.map_err(trouble)?, text.slice(65_530..65_540));
        assert!(store.truncate(10).await.map_err(trouble)?);
        let stored = store.save().await.map_err(trouble)?;
        assert_eq!(stored.root().and_then(|file| stored.objects.long(file.size)), Some(10));
        store.close().await.map_err(trouble)?;

        let mut objects = Objects::new();
        let job_id = objects.put(RLong::from(77));
        let mut job = ScriptJob::default();
        job.base.base.id = job_id;
        let mut file = OriginalFile::default();
        file.base.id = objects.put(RLong::from(id));
        let (job, file) = (objects.add(job), objects.add(file));
        let link = JobOriginalFileLink {
            parent: Some(job.up()),
            child: Some(file),
            ..JobOriginalFileLink::default()
        };
        let link = objects.add(link);
        update.save_object(Some(link.up()), &objects).await.map_err(trouble)?;
        assert_eq!(seen(&session, "saved").await?, format!("JobOriginalFileLink 77 {id} ScriptJob"));
        Ok(())
    })
}

#[test]
fn the_status_of_a_job_is_read_and_set_in_its_group() -> Result<()> {
    let omero = Omero::start()?;
    run(async {
        let session = root(&omero).await?;
        let handle = session.job_handle_in(3).await.map_err(trouble)?;
        let status = handle.attach(77).await.map_err(trouble)?;
        assert_eq!(seen(&session, "group").await?, "3");
        assert_eq!(status.root().and_then(|found| status.objects.text(found.value)), Some("Waiting"));
        assert_eq!(handle.job_finished().await.map_err(trouble)?.root(), None);
        assert_eq!(handle.set_status("Finished").await.map_err(trouble)?, "Waiting");
        let status = handle.job_status().await.map_err(trouble)?;
        assert_eq!(status.root().and_then(|found| status.objects.text(found.value)), Some("Finished"));
        assert_eq!(handle.job_finished().await.map_err(trouble)?.root().map(|time| time.val), Some(5));

        let error = handle.attach(78).await.err().ok_or_else(|| Trouble::new("there is a job 78"))?;
        assert!(
            matches!(&error, Error::Server { raised, .. } if raised.exception() == Exception::ApiUsageException),
            "{error}"
        );
        handle.close().await.map_err(trouble)?;

        let admin = session.admin().await.map_err(trouble)?.in_group(4);
        let context = admin.get_event_context().await.map_err(trouble)?;
        let who = context.root().ok_or_else(|| Trouble::new("there is no event context"))?;
        assert_eq!(
            (who.user_name.as_str(), who.group_id, who.member_of_groups.as_slice()),
            ("root", 4, [3, 4].as_slice())
        );
        Ok(())
    })
}
