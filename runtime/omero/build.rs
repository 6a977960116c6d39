//! Prints the tables in `schema/` as Rust.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut tables = Vec::new();
    for name in ["model.schema", "types.schema", "operations.schema"] {
        let path = Path::new("schema").join(name);
        println!("cargo::rerun-if-changed={}", path.display());
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        tables.push((name, text));
    }
    let tables: Vec<(&str, &str)> = tables.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let rust = biomero_omero_generator::rust::print(&biomero_omero_generator::read(&tables)?);
    let out = std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set; cargo sets it")?;
    std::fs::write(Path::new(&out).join("types.rs"), rust)?;
    Ok(())
}
