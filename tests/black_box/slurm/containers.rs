//! What stands in for Apptainer on the test cluster does what the tests rely on: images run in jobs, are pulled from a
//! registry, and fail as Apptainer fails.

use std::time::Duration;

use biomero_tests::cluster::{Cluster, Image, Options, Workspace, shared};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, process};

#[test]
fn a_job_runs_a_container_with_its_folders_and_its_environment() -> Result<()> {
    let cluster = shared()?;
    let work = cluster.workspace()?;
    cluster.place(Image::Copy, &work, "copy.sif")?;
    work.write("in/a file.txt", "content")?;
    cluster.run(&format!("mkdir {}/out", work.name()))?;
    work.write(
        "job.sh",
        "#!/bin/bash\nexport GREETING='a b' APPTAINERENV_OTHER=c\n\
         singularity run --nv copy.sif --infolder $PWD/in --outfolder $PWD/out 'x y'\n\
         apptainer exec --env LAST='$d' copy.sif sh -c 'echo \"$GREETING|$OTHER|$LAST|$PWD|$SLURM_JOB_ID\"'\n",
    )?;
    let job = cluster.submit(&work, "--output=out.log job.sh")?;
    let state = cluster.ended(job)?;
    let log = work.read("out.log")?;
    assert_eq!(state, "COMPLETED", "{log}");
    assert!(log.contains("argument: x y\na file.txt: 100%\n"), "{log}");
    assert!(log.contains(&format!("a b|c|$d|{}|{job}\n", work.path().display())), "{log}");
    assert_eq!(work.read("out/a file.txt")?, "content");
    Ok(())
}

#[test]
fn the_exit_code_of_a_container_is_that_of_its_program() -> Result<()> {
    let cluster = shared()?;
    let work = cluster.workspace()?;
    cluster.place(Image::Copy, &work, "copy.sif")?;
    for (command, code, said) in [
        ("apptainer exec copy.sif sh -c 'exit 7'", 7, ""),
        ("apptainer run copy.sif", 3, "--infolder and --outfolder are needed"),
        ("apptainer run missing.sif", 255, "could not open image"),
        ("apptainer exec --bind /nowhere copy.sif true", 255, "mount source /nowhere doesn't exist"),
        ("APPTAINER_BINDPATH=/nowhere apptainer exec copy.sif true", 255, "doesn't exist"),
        ("apptainer exec --bind $PWD:/mnt/here copy.sif ls /mnt/here", 0, "copy.sif"),
        ("SINGULARITY_BINDPATH=/etc/hostname:/opt/name apptainer exec copy.sif test -e /opt/name", 0, ""),
        ("apptainer exec copy.sif ls /usr/local/bin/nothing-of-the-host", 1, "No such file"),
        ("singularity --version", 0, "stand-in"),
        ("apptainer inspect --runscript copy.sif", 0, "argument: $1"),
        ("apptainer inspect copy.sif", 0, "org.opencontainers.image.title: copy"),
        ("apptainer sign copy.sif", 1, "unknown command"),
    ] {
        let output = cluster.output(&format!("cd {} && {command}", work.name()))?;
        let text = process::both(&output);
        assert_eq!(output.status.code(), Some(code), "{command}: {text}");
        assert!(text.contains(said), "{command}: {text}");
    }
    Ok(())
}

#[test]
fn a_container_is_told_when_its_job_is_cancelled() -> Result<()> {
    let cluster = shared()?;
    let work = cluster.workspace()?;
    cluster.place(Image::Copy, &work, "copy.sif")?;
    let script = "trap 'echo told; exit 0' TERM; echo began; while :; do sleep 0.1; done";
    work.write("job.sh", format!("#!/bin/bash\nexec apptainer exec copy.sif sh -c \"{script}\"\n"))?;
    let job = cluster.submit(&work, "--output=out.log job.sh")?;
    log_says(&work, "began")?;
    cluster.run(&format!("scancel --full --signal=TERM {job}"))?;
    cluster.ended(job)?;
    log_says(&work, "told")
}

fn log_says(work: &Workspace, word: &str) -> Result<()> {
    let what = format!("`{word}` in the job's log");
    let log = work.path().join("out.log");
    biomero_tests::wait::until(&what, biomero_tests::cluster::PATIENCE, &[&log], || {
        work.read("out.log").ok()?.lines().any(|line| line == word).then_some(())
    })
}

#[test]
fn an_image_is_pulled_or_the_pull_fails_as_apptainers_does() -> Result<()> {
    let cluster = shared()?;
    let work = cluster.workspace()?;
    // A name of this test's own: the registry is everybody's.
    let repository = format!("tests/{}", work.name());
    let name = format!("{repository}:v1.2");
    cluster.publish(Image::Copy, &name)?;
    cluster.fail_pulls(&name, 1)?;
    cluster.slow_pulls(&name, Duration::from_millis(300))?;
    let file = format!("{}_v1.2.sif", work.name());
    for (command, code, said) in [
        (
            format!("singularity pull --disable-cache --dir . docker://{name}"),
            255,
            "connection reset by peer",
        ),
        (format!("ls {file}"), 2, "No such file"),
        (format!("singularity pull --disable-cache --dir . docker://{name}"), 0, ""),
        (format!("singularity pull --dir . docker://{name}"), 255, "already exists"),
        (format!("singularity pull --force other.sif docker://{name}"), 0, ""),
        (format!("singularity exec other.sif true && cmp other.sif {file}"), 0, ""),
        (
            format!("apptainer build --force --mksquashfs-args '-processors 2' other.sif docker://{name}"),
            0,
            "",
        ),
        (format!("apptainer pull docker://{repository}:v9"), 255, "manifest unknown"),
        ("apptainer build x.sif x.def".to_owned(), 255, "no such file"),
    ] {
        let output = cluster.output(&format!("cd {} && {command}", work.name()))?;
        let text = process::both(&output);
        assert_eq!(output.status.code(), Some(code), "{command}: {text}");
        assert!(text.contains(said), "{command}: {text}");
    }
    Ok(())
}

#[test]
fn a_cluster_may_have_no_containers() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut options = Options { without_apptainer: true, ..Default::default() };
    options.slurm.accounting = false;
    let cluster = Cluster::start(scratch.path(), &options)?;
    assert_eq!(cluster.output("apptainer --version")?.status.code(), Some(127));
    Ok(())
}

/// Two squares of 100 and of 400 pixels, written by the image's own Python.
const SQUARES: &str = "import numpy, tifffile; a = numpy.full((64, 64), 10, 'uint16'); \
                       a[4:14, 4:14] = 200; a[30:50, 30:50] = 220; ";

#[test]
fn a_real_workflow_finds_the_objects_of_an_image() -> Result<()> {
    let cluster = shared()?;
    let work = cluster.workspace()?;
    cluster.place(Image::Threshold, &work, "threshold.sif")?;
    cluster.run(&format!("mkdir {0}/in {0}/out {0}/gt", work.name()))?;
    work.write(
        "job.sh",
        format!(
            "#!/bin/bash\nset -e\n\
             apptainer exec threshold.sif python3 -c \"{SQUARES} tifffile.imwrite('in/squares.tif', a)\"\n\
             singularity run threshold.sif --infolder $PWD/in --outfolder $PWD/out --gtfolder $PWD/gt --local -nmc \
             --threshold_scale=1.0\n\
             apptainer exec threshold.sif python3 -c \"import tifffile; l = tifffile.imread('out/squares.tiff'); \
             print('labels', l.dtype, l[5, 5], l[40, 40], l[0, 0])\"\n"
        ),
    )?;
    let job = cluster.submit(&work, "--mem=2G --output=out.log job.sh")?;
    let state = cluster.ended(job)?;
    let log = work.read("out.log")?;
    assert_eq!(state, "COMPLETED", "{log}");
    assert!(log.contains("squares.tif: 2 objects, 100%"), "{log}");
    assert!(log.contains("labels uint16 1 2 0"), "{log}");
    assert_eq!(work.read("out/squares.csv")?.replace('\r', ""), "label,area\n1,100\n2,400\n");
    Ok(())
}

#[test]
fn a_zarr_becomes_a_tiff_beside_it() -> Result<()> {
    let cluster = shared()?;
    let work = cluster.workspace()?;
    cluster.place(Image::ZarrToTiff, &work, "converter.sif")?;
    // OME-Zarr 0.4, as BIOMERO exports it: two channels, one time, three planes.
    work.write(
        "make.py",
        "import numpy, zarr\n\
         g = zarr.open_group('image.ome.zarr', mode='w', zarr_format=2)\n\
         a = g.create_array('0', shape=(1, 2, 3, 8, 9), chunks=(1, 1, 1, 8, 9), dtype='uint16')\n\
         a[...] = numpy.arange(432).reshape(1, 2, 3, 8, 9)\n\
         axes = [{'name': n} for n in 'tczyx']\n\
         g.attrs['multiscales'] = [{'version': '0.4', 'axes': axes, 'datasets': [{'path': '0'}]}]\n",
    )?;
    work.write(
        "look.py",
        "import numpy, tifffile\n\
         t = tifffile.TiffFile('image.tiff')\n\
         a = t.series[0].asarray()\n\
         print(t.is_imagej, t.series[0].axes, a.shape)\n\
         print((a == numpy.arange(432).reshape(2, 3, 8, 9).transpose(1, 0, 2, 3)).all())\n",
    )?;
    let said = cluster.run(&format!(
        "cd {} && apptainer exec converter.sif python3 make.py && singularity run converter.sif image.ome.zarr \
         && apptainer exec converter.sif python3 look.py",
        work.name()
    ))?;
    assert!(said.ends_with("True ZCYX (3, 2, 8, 9)\nTrue"), "{said}");
    Ok(())
}
