use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::python::{Python, compare, rendered_reads_back, sources};
use super::*;
use crate::Environment;

fn merged(files: &[&str]) -> Merged {
    let files: Vec<&[u8]> = files.iter().map(|file| file.as_bytes()).collect();
    merge(&sources(&files)).expect("valid files")
}

fn problems(files: &[&str]) -> String {
    let files: Vec<&[u8]> = files.iter().map(|file| file.as_bytes()).collect();
    match merge(&sources(&files)) {
        Ok(_) => "no problem".to_owned(),
        Err(problems) => lines(&problems),
    }
}

fn lines(notices: &[Notice]) -> String {
    notices.iter().map(|notice| format!("{notice}\n")).collect()
}

/// Files that show a rule each; several of a line are merged.
const TRICKY: &[&[&[u8]]] = &[
    &[b""],
    &[b"\n\n"],
    &[b"# nothing but a comment"],
    &[b"[SSH]\nhost=slurm"],
    &[b"[SSH]\r\nhost = slurm\r\n"],
    &[b"[SSH]\rhost = slurm\rb = c"],
    &[b"\xef\xbb\xbf[SSH]\nhost = slurm"],
    &[b"\xef\xbb\xbf# comment\n[SSH]"],
    &[b"[SSH]\nhost = \xe9"],
    &[b"host = slurm\n[SSH]"],
    &[b"  # comment\n[SSH]\n  ; comment\nhost: a = b"],
    &[b"[SSH]\nhost = a # not a comment\nb = a ; nor this"],
    &[b"[SSH]\nHOST = a\nHoSt_Name : b"],
    &[b"[SSH]\nhost\nb ="],
    &[b"[SSH]\nhost\n  continued"],
    &[b"[SSH]\nhost\n\n\nb = c"],
    &[b"[SSH]\nhost =\n  a\n\n  b\n\n\nc = d"],
    &[b"[SSH]\nhost = a\n  # comment\n  b\n# comment\n\n  c"],
    &[b"[SSH]\nhost = a\n  b = c\n [SLURM]\nd = e"],
    &[b"  [SSH]\n  host = a\n  b = c\n    d\n e = f"],
    &[b"[SSH]\n  host = a\nb = c"],
    &[b"[SSH]\n  indented = a"],
    &[b"[SSH]\n\thost = a\n        b = tab is one"],
    &[b"[SSH]\nhost = a\n[SSH]\nb = c"],
    &[b"[SSH]\nhost = a\nHOST = b"],
    &[b"[SSH]\nhost = a\nhost : b"],
    &[b"[DEFAULT]\na = b\n[DEFAULT]\nc = d\n[SSH]\na = e"],
    &[b"[DEFAULT]\na = b\n[DEFAULT]\na = d\n[SSH]"],
    &[b"[DEFAULT]\nz = 1\na = 2\n[SSH]\nb = 3\na = 4"],
    &[b"[default]\na = b\n[SSH]"],
    &[b"[ssh]\nhost = a\n[SSH]\nhost = b"],
    &[b"[ SSH ]\nhost = a"],
    &[b"[SSH] trailing\nhost = a"],
    &[b"[a]b]c\nhost = a"],
    &[b"[]\nhost = a"],
    &[b"[SSH]\n[]\nhost = a"],
    &[b"[SSH]\n[]]\nhost = a"],
    &[b"[SSH\nhost = a"],
    &[b"[SSH]\n[open = a"],
    &[b"[SSH]\n= a"],
    &[b"[SSH]\n: a\nb = c"],
    &[b"[SSH]\n= a\n  b"],
    &[b"[SSH]\nhost == a\nb =: c\nd :: e"],
    &[b"[SSH]\nkey with spaces = a\nkey \xc2\xa0 = b"],
    &["[SSH]\nÄÖÜ = straße\nΑΣ = σ\nİ = i".as_bytes()],
    &["[SSH]\n\u{a0}a = b\n\u{2003}c = d\u{3000}\n".as_bytes()],
    &[b"[SSH]\na = b\x1c\n\x1d\x1f\nc = \x0b d \x0c"],
    &["[SSH]\na = b\u{85}c\u{2028}d\n".as_bytes()],
    &[b"[SSH]\na = b\0c"],
    &[b"[SSH]\n\0"],
    &[b"[SSH]\nurl = postgresql://u:p%%40@db/x"],
    &[b"[SSH]\nurl = postgresql://u:p%40@db/x"],
    &[b"[SSH]\na = %(b)s!\nb = %(c)s\nc = d"],
    &[b"[SSH]\na = %(B)s\nb = 50%"],
    &[b"[SSH]\na = %(nowhere)s"],
    &[b"[SSH]\na = %(a)s"],
    &[b"[SSH]\na = %(b)s\nb"],
    &[b"[SSH]\na = %(b\nc = %(b)d %()s %"],
    &[b"[DEFAULT]\nhome = /h\n[SSH]\na = %(home)s/x\nhome = /i"],
    &[b"[DEFAULT]\na = %(b)s\n[SSH]\nb = 1\n[SLURM]\nb = 2"],
    &[b"[SSH]\na = %(b)s \nb =\n  c"],
    &[b"[SSH]\na = x %(b)s\nb ="],
    &[b"[SSH]\na = %(b)s%%\n  %(b)s\nb = #c"],
    &[b"[SSH]\na=1\nb=2", b"[SLURM]\nc=3\n[SSH]\na=4\nd=5"],
    &[b"[SSH]\na=1\nb=2", b"[SSH]\nb\na ="],
    &[b"[SSH]\na=1\n  2", b"[SSH]\n  b = 3\na = 4\n  5"],
    &[b"[SSH]\na=%(b)s\nb=1", b"[SSH]\nb=2"],
    &[b"[SSH]\na=1", b"a=2"],
    &[b"[A]\n[B]\n[C]\n", b"[B]\nx = 1\n[D]\n[A]\n"],
];

#[test]
fn tricky_files_mean_what_they_mean_to_python() {
    let mut python = Python::start();
    for files in TRICKY {
        if let Err(difference) = compare(&mut python, files) {
            let files: Vec<_> = files.iter().map(|file| String::from_utf8_lossy(file)).collect();
            panic!("{files:?}: {difference}");
        }
    }
}

/// Capitals that came with Unicode 16 and 17: Rust knows their small letters, Python before 3.14 does not, and a test
/// must not turn on which of the two is newer.
fn is_newer_than_unicode_14(letter: char) -> bool {
    matches!(letter,
        '\u{1c89}' | '\u{a7cb}' | '\u{a7cc}' | '\u{a7ce}' | '\u{a7d2}' | '\u{a7d4}' | '\u{a7da}' | '\u{a7dc}'
        | '\u{10d50}'..='\u{10d65}' | '\u{16ea0}'..='\u{16eb8}')
}

/// Lines that are likely to mean something, put together by chance.
fn any_file() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        3 => "[ \t]{0,3}\\[(SSH|SLURM|DEFAULT|A|ssh|a\\]b)\\]( x)?",
        8 => "[ \t]{0,4}(a|b|c|B|host|d e|é)[ \t]{0,2}[=:]?[ \t]{0,2}(x|1 # y|%|%%|%\\(a\\)s|%\\(b\\)s|%\\(C\\)s|%\\(zz\\)s|%4|;|#|\\[|\\]|=|ü| ){0,4}",
        2 => "[ \t]{0,3}[#;].{0,5}",
        3 => "[ \t]{0,3}",
        3 => "[ \t]{1,6}(more|a = b|\\[SSH\\]|%\\(b\\)s|# c|%)?",
        1 => "\\PC{0,8}",
        1 => "[\u{0}-\u{20}\u{85}\u{a0}\u{2028}a=\\[\\]]{0,6}",
    ];
    (proptest::collection::vec(line, 0..14), prop_oneof!["\n", "\r\n", "\r"], any::<bool>()).prop_map(
        |(lines, newline, headed)| {
            let file = lines.join(&newline).replace(is_newer_than_unicode_14, "x");
            if headed { format!("[SSH]{newline}{file}") } else { file }
        },
    )
}

fn run(cases: u32, python: Python, test: impl Fn(&mut Python, Vec<String>) -> Result<(), String>) {
    let python = std::cell::RefCell::new(python);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let strategy = proptest::collection::vec(any_file(), 1..4);
    let outcome =
        runner.run(&strategy, |files| test(&mut python.borrow_mut(), files).map_err(TestCaseError::fail));
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[test]
fn files_of_any_lines_mean_what_they_mean_to_python() {
    run(1500, Python::start(), |python, files| {
        let files: Vec<&[u8]> = files.iter().map(|file| file.as_bytes()).collect();
        compare(python, &files)
    });
}

#[test]
fn what_is_rendered_after_deletions_reads_back() {
    run(500, Python::start(), |python, mut files| {
        files.insert(1, "[-SSH]\na\nB\n[-DEFAULT]\n*\n[-A]\n*".to_owned());
        let files: Vec<&[u8]> = files.iter().map(|file| file.as_bytes()).collect();
        match merge(&sources(&files)) {
            Ok(merged) => rendered_reads_back(python, &merged),
            Err(_) => Ok(()),
        }
    });
}

#[test]
fn a_property_is_named_as_python_names_it() {
    let python = std::cell::RefCell::new(Python::start());
    let mut runner = TestRunner::new(Config { cases: 500, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&"[ab_é.]{0,12}", |name| {
        prop_assert_eq!(crate::property_name(&name), python.borrow_mut().property_name(&name));
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(content in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(merged) = merge(&sources(&[&content])) {
            let _ = (merged.render(), merged.rows(&Environment::default()), merged.typed(&Environment::default()));
        }
    }

    #[test]
    fn no_file_makes_the_reader_panic(files in proptest::collection::vec(any_file(), 1..4), deletion in "\\[-(SSH|MODELS| A)?\\]\n(a|\\*|b = c|)") {
        let mut files: Vec<&[u8]> = files.iter().map(|file| file.as_bytes()).collect();
        files.push(deletion.as_bytes());
        if let Ok(merged) = merge(&sources(&files)) {
            let _ = (merged.render(), merged.rows(&Environment::default()), merged.typed(&Environment::default()));
        }
    }
}

const SHIPPED: &str = "\
[SSH]
host = localslurm
[SLURM]
slurm_data_path = data
gpu_gres = gpu:1
sbatch_qos = high
sbatch_empty =
image_pull_mem =
[ANALYTICS]
sqlalchemy_url = postgresql://biomero:hunter2@db/biomero
[CONVERTERS]
zarr_to_tiff = cellularimagingcf/convert_zarr_to_tiff:1.14.0
[MODELS]
cellpose = cellpose
cellpose_repo = https://github.com/x/w_cellpose/tree/v1
cellpose_job = jobs/cellpose.sh
cellpose_job_mem = 15GB
cellpose_job_gres = gpu:1
cellpose_use_gpu = yes
cellpose_extra = extra
cellpose_extra_repo = https://github.com/x/extra
cellpose_extra_job = jobs/extra.sh
stardist = stardist
stardist_repo = https://github.com/x/stardist
stardist_job = jobs/stardist.sh
";

fn keys(merged: &Merged, section: &str) -> Vec<String> {
    merged.items(section).into_iter().map(|key| key.key.clone()).collect()
}

#[test]
fn deleting_a_workflow_deletes_all_of_its_keys_and_no_other_workflow() {
    let merged = merged(&[SHIPPED, "[-MODELS]\ncellpose\n"]);
    assert_eq!(
        keys(&merged, "MODELS"),
        [
            "cellpose_extra",
            "cellpose_extra_repo",
            "cellpose_extra_job",
            "stardist",
            "stardist_repo",
            "stardist_job"
        ]
    );
    assert_eq!(lines(merged.warnings()), "");
    assert!(merged.needs_rendering());
}

#[test]
fn a_key_alone_and_a_whole_section_can_be_deleted() {
    let merged = merged(&[
        SHIPPED,
        "[-MODELS]\nCellpose_Job_Gres\n[-SLURM]\ngpu_gres\n[-CONVERTERS]\n*\n[SLURM]\ngpu_gpus = 1\n",
    ]);
    assert!(!keys(&merged, "MODELS").contains(&"cellpose_job_gres".to_owned()));
    assert!(keys(&merged, "MODELS").contains(&"cellpose_job_mem".to_owned()));
    assert_eq!(
        keys(&merged, "SLURM"),
        ["slurm_data_path", "sbatch_qos", "sbatch_empty", "image_pull_mem", "gpu_gpus"]
    );
    assert!(merged.section("CONVERTERS").is_none());
    assert!(merged.typed(&Environment::default()).is_ok());
}

#[test]
fn the_example_of_the_manual_deletes_what_it_says() {
    let manual = include_str!("../../../docs/slurm-config.md");
    let example =
        manual.split("```ini").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let merged = merged(&[SHIPPED, "[MODELS]\nstardist_job_gres = gpu:2\n", example]);
    assert_eq!(lines(merged.warnings()), "");
    assert!(!keys(&merged, "MODELS").iter().any(|key| key == "cellpose" || key == "stardist_job_gres"));
    assert!(merged.find("SLURM", "gpu_gres").is_none() && merged.section("CONVERTERS").is_none());
}

#[test]
fn a_file_may_replace_what_it_deletes_wherever_it_does_so() {
    let merged = merged(&[SHIPPED, "[MODELS]\nmine = m\n[-MODELS]\n*\n", "[MODELS]\nlater = l"]);
    assert_eq!(keys(&merged, "MODELS"), ["mine", "later"]);
}

#[test]
fn a_deletion_that_finds_nothing_says_so() {
    let merged = merged(&[
        "[DEFAULT]\na = 1\n[MODELS]\ncellpose = c\ncellpose_repo = r\ncellpose_job = j\na = 2\na_repo = r\na_job = j\n[WORKFLOWS]\nstardist = s\nstardist_repo = r\nstardist_job = j",
        "[-MODELS]\ncelpose\nstardist\na = 3\n[-MODEL]\nx\n[-SSH]\n[-WORKFLOWS]\n",
    ]);
    insta::assert_snapshot!(lines(merged.warnings()));
}

#[test]
fn a_reader_that_knows_no_deletions_is_not_disturbed() {
    let mut python = Python::start();
    let read = |python: &mut Python, files: &[&[u8]]| {
        let mut sections = python.read(files).expect("valid for Python");
        sections.retain(|(name, _)| !name.starts_with('-'));
        sections
    };
    let deleting = read(&mut python, &[SHIPPED.as_bytes(), b"[-MODELS]\ncellpose\n[-SLURM]\n*\n"]);
    assert_eq!(deleting, read(&mut python, &[SHIPPED.as_bytes()]));
}

#[test]
fn what_is_hardly_meant_is_warned_about() {
    let merged = merged(&["\
[ssh]
host = a
[SLURM]
slurm_models_path = x
slurm_data_pth = x
track_workflows = true
slurm_data_path = data # my data
slurm_script_path = a;b
sbatch_ = x
[CONVERTERS]
zarr2tiff = x
[MODELS]
a = a
b = b
b_repo = r
b_job = j
b_use_gpu = ja
c_repo = r
celpose_job = x
[DEFAULT]
everywhere = yes
[UI]
"]);
    insta::assert_snapshot!(lines(merged.warnings()));
    assert!(!merged.needs_rendering());
}

#[test]
fn what_python_refuses_is_told_with_all_places() {
    let found = [
        problems(&["[SSH]\nhost = a\n\n[SSH]\nb\nHOST = c\nB = d\n  x\nk\n  y\n= z"]),
        problems(&["host = a", "[SSH]\n[SSH]"]),
        problems(&["[SSH]\na = %(hots)s\nhost = b\nc = %(c)s\nd = %(e)s\ne\nf = 50%% %4"]),
        problems(&["\u{feff}[SSH]"]),
        problems(&[&"#".repeat((1 << 20) + 1)]),
        problems(&[&format!("[SSH]\n{}", (0..5000).map(|at| format!("k{at}\n")).collect::<String>())]),
    ];
    insta::assert_snapshot!(found.join("\n"));
}

#[test]
fn the_settings_are_typed_as_biomero_types_them() {
    let environment: Environment = [
        ("BIOMERO_SACCT_START_DAYS_AGO", " 1_0 "),
        ("GPU_GRES", "gpu:a100"),
        ("BIOMERO_INJECT_GPU_FLAG", "Y"),
        ("BIOMERO_ENV_FILE_SUBMISSION", "perhaps"),
        ("BIOMERO_DEFAULT_PARTITION", ""),
    ]
    .into_iter()
    .collect();
    let typed = merged(&[SHIPPED]).typed(&environment).expect("valid");
    insta::assert_debug_snapshot!(typed);
    assert!(!format!("{typed:?}").contains("hunter2"));
}

#[test]
fn what_stops_biomero_is_a_problem_and_what_it_ignores_a_warning() {
    let stops = "[SSH]\ninline_ssh_env = ja\n[SLURM]\nenv_file_submission =\ninject_gpu_flag\ngpu_gres = a\ngpu_gpus = b\n[MODELS]\na = a\na_job_mem = 1\na_job = x";
    let ignored = "[SLURM]\nsacct_days_ago = many\nslurm_data_path\nslurm_image_pull_via_sbatch = on\nimage_pull_cpus =\n";
    let environment: Environment = [("BIOMERO_ANALYTICS_REBUILD_DAYS_AGO", "x")].into_iter().collect();
    let problems = merged(&[stops]).typed(&environment).expect_err("five problems");
    let typed = merged(&[ignored]).typed(&environment).expect("warnings only");
    assert_eq!(typed.settings.slurm.data_path, "my-scratch/data");
    insta::assert_snapshot!(format!("{}\n{}", lines(&problems), lines(&typed.warnings)));
}

#[test]
fn every_value_knows_its_origin_and_secrets_are_masked() {
    let merged = merged(&[SHIPPED, "[SLURM]\nslurm_data_path = other\n"]);
    let environment: Environment =
        [("BIOMERO_GPU_GRES", "gpu:h100"), ("BIOMERO_PULL_CPUS", "4")].into_iter().collect();
    let rows: String = merged
        .rows(&environment)
        .into_iter()
        .filter(|row| row.section != "MODELS")
        .map(|row| format!("{}.{} = {:?}  {}\n", row.section, row.key, row.value, row.origin))
        .collect();
    assert!(
        merged.contains_secret() && !rows.contains("hunter2") && !format!("{merged:?}").contains("hunter2")
    );
    insta::assert_snapshot!(rows);
}

#[test]
fn the_rendered_file_names_its_sources() {
    let merged = merged(&[
        "[SSH]\nhost = a\n\n  b\nvalueless\nempty =\n",
        "[SSH]\npass = 50%25\n[SLURM]\nlist =\n  a\n  b",
    ]);
    assert!(merged.needs_rendering());
    insta::assert_snapshot!(merged.render());
}

#[test]
fn one_authoritative_file_replaces_the_list() {
    let mut settings = Settings::shipped();
    assert_eq!(paths(&settings).len(), 3);
    settings.slurm_config.authoritative = Some("/x.ini".into());
    assert_eq!(paths(&settings), [PathBuf::from("/x.ini")]);
}
