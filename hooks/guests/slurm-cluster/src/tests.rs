use super::*;
use biomero_hooks_guest::FileState;

const MERGED: &str = "/opt/omero/server/OMERO.server/etc/cluster.ini";
const BASE: &str = "\
# The site's workflows.
[SSH]
host = slurm

[SLURM]
slurm_data_path = data
slurm_script_path: scripts

[MODELS]
cellpose = cellpose
cellpose_repo = https://github.com/example/cellpose/tree/v1
cellpose_job = jobs/cellpose.sh
cellpose_job_gres = gpu:1
cellpose_extra = extra
";

fn context(base: &str, cluster: &str) -> Context {
    Context::empty()
        .with_setting(OUTPUT, MERGED)
        .with_variable(CLUSTER, "snellius")
        .with_state(BASES[0], BASES[0], FileState::Absent)
        .with_state(BASES[1], BASES[1], FileState::Absent)
        .with_file(BASES[2], BASES[2], base)
        .with_file(CLUSTERS, "/etc/biomero/clusters/local.ini", "[SSH]\nhost = local\n")
        .with_file(CLUSTERS, "/etc/biomero/clusters/snellius.ini", cluster)
}

/// The merged file without the lines that say where it came from.
fn merged(base: &str, cluster: &str) -> String {
    let effects = SlurmCluster::plan(&context(base, cluster)).unwrap();
    let Effect::File(file) = &effects[0] else { panic!("{effects:?}") };
    let text = String::from_utf8(file.content.clone()).unwrap();
    text.split_once("\n\n").unwrap().1.to_owned()
}

fn refused(context: &Context) -> String {
    SlurmCluster::plan(context).unwrap_err().sentence()
}

#[test]
fn the_chosen_clusters_keys_win_and_all_others_stay() {
    let cluster =
        "[SSH]\nHost = snellius\n[SLURM]\nslurm_data_path = /scratch/biomero\n[CONVERTERS]\nzarr_to_tiff=x\n";
    let effects = SlurmCluster::plan(&context(BASE, cluster)).unwrap();
    assert_eq!(
        effects,
        [
            File::text(
                MERGED,
                "\
# Written at every start by the site hook slurm-cluster, from
# /opt/omero/server/slurm-config.ini
# /etc/biomero/clusters/snellius.ini

[SSH]
host = snellius

[SLURM]
slurm_data_path = /scratch/biomero
slurm_script_path = scripts

[MODELS]
cellpose = cellpose
cellpose_repo = https://github.com/example/cellpose/tree/v1
cellpose_job = jobs/cellpose.sh
cellpose_job_gres = gpu:1
cellpose_extra = extra

[CONVERTERS]
zarr_to_tiff = x
"
            )
            .mode(0o600)
            .into(),
            Variable::set("BIOMERO_SLURM_CONFIG_FILE", MERGED).into(),
        ]
    );
}

#[test]
fn a_cluster_can_delete_keys_workflows_and_sections() {
    let text = merged(BASE, "[-MODELS]\ncellpose\n[-SLURM]\nSLURM_DATA_PATH\n[-SSH]\n*\n[SSH]\nport = 22\n");
    assert_eq!(
        text,
        "[SLURM]\nslurm_script_path = scripts\n\n[MODELS]\ncellpose_extra = extra\n\n[SSH]\nport = 22\n"
    );
}

#[test]
fn values_over_several_lines_are_kept_and_what_looks_like_a_key_in_them_is_none() {
    let base = "[SLURM]\nenv =\n  A=1\n\n  # not a value\n  B=2\n\nlast = %(env)s 100%\nflag\n";
    assert_eq!(merged(base, "[SLURM]\n"), "[SLURM]\nenv =\n    A=1\n\n    B=2\nlast = %(env)s 100%\nflag\n");
}

#[test]
fn a_file_with_a_password_is_secret() {
    for (base, secret) in [
        ("[ANALYTICS]\nsqlalchemy_url = postgresql://user:hunter2@db/biomero\n", true),
        ("[X]\napi_token = abc\n", true),
        (BASE, false),
    ] {
        let effects = SlurmCluster::plan(&context(base, "[SSH]\n")).unwrap();
        assert!(matches!(&effects[0], Effect::File(file) if file.secret == secret), "{base}");
    }
}

#[test]
fn what_python_refuses_is_refused_with_file_and_line() {
    for (cluster, expected) in [
        ("host = x\n", "/etc/biomero/clusters/snellius.ini:1: a key above the first [SECTION]; "),
        ("[SSH]\nhost = x\nHOST = y\n", "/etc/biomero/clusters/snellius.ini:3: host is in [SSH] twice; "),
        ("[SSH]\n\n[SSH]\n", "/etc/biomero/clusters/snellius.ini:3: [SSH] is there twice; "),
    ] {
        let error = refused(&context(BASE, cluster));
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn without_a_cluster_that_exists_the_error_lists_those_that_do() {
    let mut context = context(BASE, "");
    context.environment.clear();
    assert_eq!(refused(&context), "BIOMERO_CLUSTER is not set: set it to one of local, snellius");
    let context = context.with_variable(CLUSTER, "../spider");
    assert_eq!(
        refused(&context),
        "BIOMERO_CLUSTER: there is no /etc/biomero/clusters/../spider.ini; set it to one of local, snellius"
    );
}

#[test]
fn the_merged_file_has_a_place_of_its_own() {
    let mut context = context(BASE, "");
    context.settings.clear();
    assert!(refused(&context).starts_with("BIOMERO_SLURM_CONFIG_FILE is not set: "));
    let context = context.with_setting(OUTPUT, BASES[2]);
    assert!(refused(&context).contains("is one of the files that are merged"));
}
