//! Conversions by the static program: a cluster that has no converter's image, and whose registry is not asked for one.

use biomero_tests::cluster::worker::{VERSION, Worker};
use biomero_tests::cluster::{Access, Image, Workspace, shared};
use biomero_tests::{Result, Trouble, binary, imaging, process};

use super::COPY;

/// A worker that names the program and has a workflow which copies what it gets.
fn worker(cluster: &Access, workspace: &Workspace) -> Result<Worker> {
    let mut worker = Worker::new(cluster, workspace)?;
    worker.set("CONVERTER", &binary::convert()?.display().to_string());
    worker.write("descriptors/copy.json", COPY)?;
    worker.configure(
        "",
        &format!("copy = copy\ncopy_repo = https://github.com/biomerotests/copy/tree/{VERSION}\ncopy_job = jobs/copy.sh"),
    )?;
    cluster.place(Image::Copy, workspace, &format!("images/copy/copy_{VERSION}.sif"))?;
    Ok(worker)
}

/// The programs that the cluster has in the place of a converter's image.
fn programs(workspace: &Workspace) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(workspace.path().join("converters")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

#[test]
fn images_are_converted_to_the_last_bit_without_a_container() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    let worker = worker(&cluster, &workspace)?;
    let images = ["lz4.zarr", "zstd.zarr", "raw.zarr", "v3_shards.zarr", "plain_zlib.zarr", "size_wide.zarr"];
    let folder = worker.folder().join("images");
    std::fs::create_dir(&folder).map_err(Trouble::doing("make a folder"))?;
    let mut arguments = vec![folder.as_path()];
    arguments.extend(images.iter().map(std::path::Path::new));
    imaging::run("images.py", &arguments)?;
    let made = worker.folder().join("made");
    let results = worker.folder().join("results");
    for image in images {
        std::fs::create_dir_all(made.join(image))
            .and_then(|()| {
                std::fs::rename(folder.join(format!("{image}.npy")), made.join(format!("{image}.npy")))
            })
            .map_err(Trouble::doing(format!("move what {image} holds")))?;
    }
    let (from, to) = (folder.display().to_string(), results.display().to_string());
    let output = worker.slurm(&["run", "copy", "--input", &from, "--output", &to, "--clean"])?;
    let said = process::both(&output);
    assert!(output.status.success(), "{said}");
    for image in images {
        let converted = image.replace(".zarr", ".0.tif");
        assert!(!results.join(image).exists(), "{image} was handed on");
        std::fs::rename(results.join(&converted), made.join(image).join(&converted))
            .map_err(Trouble::doing(format!("find {converted}: {said}")))?;
    }
    assert_eq!(imaging::run("readers.py", &[&made])?.trim(), format!("{} images read", images.len()));
    let there = programs(&workspace);
    let [program] = there.as_slice() else { panic!("one program: {there:?}") };
    let read = |path: &std::path::Path| std::fs::read(path).map_err(Trouble::doing("read a program"));
    assert!(read(program)? == read(&binary::convert()?)?, "it is the one that was sent");
    let stats =
        process::succeed(&mut worker.processor(&["events", "stats"])?, biomero_tests::cluster::PATIENCE)?;
    assert!(stats.contains("CONVERT_ZARR_TO_TIFF"), "{stats}");
    Ok(())
}

#[test]
fn the_program_is_put_there_once_and_again_where_it_was_damaged() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    let mut worker = worker(&cluster, &workspace)?;
    let plan = worker.succeeds(&["init", "--dry-run"])?;
    assert!(plan.contains("would make") && plan.contains("convert_zarr_to_tiff_"), "{plan}");
    assert!(programs(&workspace).is_empty(), "a dry run changes nothing");
    // The image of the workflow `threshold` may be on its way: that is not what is looked at.
    let init = |worker: &Worker| Ok::<_, Trouble>(process::both(&worker.slurm(&["init", "--json"])?));
    let became = |told: &str| {
        let told: serde_json::Value =
            serde_json::from_str(told.lines().next().unwrap_or_default()).unwrap_or_default();
        let items = told["items"].as_array().cloned().unwrap_or_default();
        let program = items.into_iter().find(|item| item["kind"] == "program");
        program.map(|item| format!("{} {}", item["became"], item["told"]))
    };
    let told = init(&worker)?;
    assert_eq!(became(&told).as_deref(), Some("\"made\" null"), "{told}");
    assert!(!told.contains("convert_zarr_to_tiff_v1.0.0.sif"), "no converter is pulled: {told}");
    assert_eq!(became(&init(&worker)?).as_deref(), Some("\"there\" null"));
    let there = programs(&workspace);
    let program = there.first().ok_or_else(|| Trouble::new("there is no program"))?;
    std::fs::write(program, "damaged").map_err(Trouble::doing("damage the program"))?;
    assert_eq!(became(&init(&worker)?).as_deref(), Some("\"changed\" null"));
    // What would not run there is not sent.
    worker.set("CONVERTER", "/bin/sh");
    let output = worker.slurm(&["init"])?;
    let said = process::both(&output);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("is not static") && said.contains("slurm.converter"), "{said}");
    Ok(())
}
