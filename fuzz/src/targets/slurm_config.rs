//! Two files of `slurm-config.ini`, cut at the first 0xFF: merged, typed, rendered, and read back as the same.

use biomero_config::Environment;
use biomero_config::slurm_config::{SourceFile, merge};

pub(crate) fn run(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0xff);
    let file = |name: &str, content: Option<&[u8]>| SourceFile {
        path: name.into(),
        content: content.unwrap_or_default().to_vec(),
    };
    let files = [file("/etc/slurm-config.ini", parts.next()), file("/home/slurm-config.ini", parts.next())];
    let Ok(merged) = merge(&files) else { return };
    let environment = Environment::default();
    let _ = merged.typed(&environment);
    let rendered = merged.render();
    let again = merge(&[file("/run/slurm-config.ini", Some(rendered.as_bytes()))])
        .unwrap_or_else(|problems| panic!("what was rendered does not read back: {problems:?}\n{rendered}"));
    let values = |merged: &biomero_config::slurm_config::Merged| -> Vec<(String, String, Option<String>)> {
        merged.rows(&environment).into_iter().map(|row| (row.section, row.key, row.value)).collect()
    };
    assert_eq!(values(&merged), values(&again), "{rendered}");
}
