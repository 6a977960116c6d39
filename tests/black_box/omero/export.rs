//! `processor export` of an image that is in OMERO.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use biomero_tests::blitz::Omero;
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, binary, imaging, process};

use super::{root, run, seen};

const DEADLINE: Duration = Duration::from_secs(120);

/// What Blitz makes image 8 of, as an array of numpy.
const EXPECTED: &str = "
import sys
import numpy as np
t, c, z, y, x = np.ogrid[0:1, 0:2, 0:2, 0:1100, 0:1300]
np.save(sys.argv[1], ((x + 1000 * y + 7 * z + 13 * c + t) & 0xFFFF).astype('<u2'))
";

fn processor(scratch: &Scratch, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(binary::processor()?);
    command.args(arguments).current_dir(scratch.path());
    Ok(command)
}

#[test]
fn an_image_of_omero_becomes_an_ome_zarr_that_others_read_the_same() -> Result<()> {
    // Building it takes longer than the test may.
    binary::processor()?;
    let omero = Omero::start()?;
    let scratch = Scratch::new()?;
    run(async {
        let session = root(&omero).await?;
        let server = format!("127.0.0.1:{}", omero.port());
        let id = session.id().reveal();
        let arguments =
            ["export", "omero:Image:8", "-s", &server, "-k", id, "--output", "image", "--threads", "3"];
        let mut command = processor(&scratch, &arguments)?;
        let exported = tokio::task::spawn_blocking(move || process::succeed(&mut command, DEADLINE));
        let told = exported.await.map_err(super::trouble)??;
        assert!(told.contains("image/8.ome.zarr: 1 × 2 × 2 × 1100 × 1300 uint16"), "{told}");
        // In the group of the image, and nothing is left open in the session, which goes on.
        assert_eq!(seen(&session, "pixelsGroup").await?, "3");
        assert_eq!(seen(&session, "open").await?, "0");
        Ok(())
    })?;

    let image = scratch.path().join("image");
    let zarr = image.join("8.ome.zarr");
    let attributes =
        std::fs::read_to_string(zarr.join(".zattrs")).map_err(Trouble::doing("read the attributes"))?;
    let attributes: serde_json::Value =
        serde_json::from_str(&attributes).map_err(|error| Trouble::new(error.to_string()))?;
    let channels = &attributes["omero"]["channels"];
    for (number, label, colour) in [(0, "DAPI", "002000"), (1, "GFP", "FF2000")] {
        let channel = &channels[number];
        assert_eq!(
            (channel["label"].as_str(), channel["color"].as_str()),
            (Some(label), Some(colour)),
            "{channel}"
        );
        // The owner's settings, where the user has none.
        assert_eq!(
            (channel["window"]["start"].as_f64(), channel["window"]["end"].as_f64()),
            (Some(200.0), Some(4000.0))
        );
    }
    let multiscale = &attributes["multiscales"][0];
    assert_eq!(multiscale["name"].as_str(), Some("cells.tiff"));
    assert!(attributes.to_string().contains("\"micrometer\""), "{attributes}");

    let array = scratch.path().join("image.npy");
    let mut expected = Command::new(imaging::interpreter()?);
    expected.args(["-c", EXPECTED]).arg(&array);
    process::succeed(&mut expected, DEADLINE)?;
    let read = imaging::run("readers.py", &[scratch.path()])?;
    assert!(Path::new(&zarr).is_dir() && !read.trim().is_empty(), "{read}");
    Ok(())
}

#[test]
fn what_cannot_be_exported_is_told_with_a_reason_and_without_the_session() -> Result<()> {
    // Building it takes longer than the test may.
    binary::processor()?;
    let omero = Omero::start()?;
    let scratch = Scratch::new()?;
    run(async {
        let session = root(&omero).await?;
        let server = format!("127.0.0.1:{}", omero.port());
        let id = session.id().reveal().clone();
        let nowhere = "127.0.0.1:1";
        let stranger = "00000000-0000-0000-0000-000000000000";
        for (source, server, key, code, reason) in [
            ("omero:Image:9", server.as_str(), id.as_str(), 66, "has no image 9"),
            ("omero:Plate:9", &server, &id, 64, "omero:Image:ID"),
            ("omero:Image:8", &server, stranger, 77, "no such session"),
            ("omero:Image:8", nowhere, &id, 69, "cannot connect"),
            ("omero:Image:8", "host:port", &id, 64, "HOST:PORT"),
        ] {
            let mut command =
                processor(&scratch, &["export", source, "-s", server, "-k", key, "--output", "image"])?;
            let ended = tokio::task::spawn_blocking(move || process::output(&mut command, DEADLINE));
            let ended = ended.await.map_err(super::trouble)??;
            let told = process::both(&ended);
            assert_eq!(ended.status.code(), Some(code), "{source} {server}: {told}");
            assert!(told.contains(reason), "{source} {server}: {told}");
            assert!(!told.contains(key), "{told}");
        }
        let mut command = processor(&scratch, &["export", "omero:Image:8", "--output", "image"])?;
        let told = process::both(&process::output(&mut command, DEADLINE)?);
        assert!(told.contains("--server") && told.contains("--session"), "{told}");
        assert!(!scratch.path().join("image").exists());
        Ok(())
    })
}
