//! An OME-Zarr: the first byte tells which of its files is foreign (the attributes of the group, the metadata of the array, or a
//! chunk of one codec; of a plate those of the plate or a well; those of label images), the rest is what that one holds. The
//! others are in order.

use crate::{look_at, root_with};
use biomero_export::source::{Limits, Source as _};
use biomero_export::zarr;

const GROUP: &str = r#"{"multiscales":[{"axes":[{"name":"y"},{"name":"x"}],"datasets":[{"path":"0"}]}]}"#;
const SHARDED: &str = r#"{"zarr_format":3,"node_type":"array","shape":[16,16],"data_type":"uint8","chunk_grid":{"name":"regular","configuration":{"chunk_shape":[16,16]}},"chunk_key_encoding":{"name":"default"},"fill_value":0,"codecs":[{"name":"sharding_indexed","configuration":{"chunk_shape":[8,8],"codecs":[{"name":"bytes"}],"index_codecs":[{"name":"bytes","configuration":{"endian":"little"}}],"index_location":"start"}}]}"#;
const CODECS: [&str; 6] = ["", "blosc", "zstd", "gzip", "zlib", "lz4"];

pub(crate) fn run(data: &[u8]) {
    let Some((first, content)) = data.split_first() else { return };
    if *first >= 0xf0 {
        return tree(first % 4, content);
    }
    let codec = CODECS[usize::from(first / 8) % CODECS.len()];
    let compressor = if codec.is_empty() { "null".to_owned() } else { format!(r#"{{"id":"{codec}"}}"#) };
    let array = format!(
        r#"{{"zarr_format":2,"shape":[16,16],"chunks":[16,16],"dtype":"<u2","order":"C","compressor":{compressor},"filters":null,"fill_value":0}}"#
    );
    let group = format!(r#"{{"zarr_format":3,"node_type":"group","attributes":{{"ome":{GROUP}}}}}"#);
    let (group, array) = (group.as_bytes(), array.as_bytes());
    let (v2, v3) = ([".zattrs", "0/.zarray", "0/0.0"], ["zarr.json", "0/zarr.json", "0/c/0/0"]);
    let (names, contents): (_, [&[u8]; 3]) = match first % 8 {
        0 => (v2, [content, array, &[0; 512]]),
        1 => (v2, [GROUP.as_bytes(), content, &[0; 512]]),
        2 => (v3, [content, SHARDED.as_bytes(), &[0; 512]]),
        3 => (v3, [group, content, &[0; 512]]),
        4 => (v3, [group, SHARDED.as_bytes(), content]),
        _ => (v2, [GROUP.as_bytes(), array, content]),
    };
    let folder = if names == v2 { "v2" } else { "v3" };
    let mut path = std::path::PathBuf::new();
    for (name, content) in names.iter().zip(contents) {
        path = root_with(&format!("{folder}/{name}"), content).join(folder);
    }
    for image in zarr::open(&path, Limits::of(4 << 20)).into_iter().flatten().take(4) {
        look_at(&image);
    }
}

const PLATE: &str = r#"{"plate":{"rows":[{"name":"A"}],"columns":[{"name":"1"}],"wells":[{"path":"A/1","rowIndex":0,"columnIndex":0}]}}"#;
const WELL: &str = r#"{"well":{"images":[{"path":"0"}]}}"#;
const LABELS: &str = r#"{"labels":["a"]}"#;
const ARRAY: &str = r#"{"zarr_format":2,"shape":[16,16],"chunks":[16,16],"dtype":"<i8","order":"C","compressor":null,"filters":null,"fill_value":0}"#;

/// A plate of one field with a label image: of its attributes those of this number are foreign. Its chunk is too, if none is.
fn tree(foreign: u8, content: &[u8]) {
    let of = |number: u8, usual: &'static str| if number == foreign { content } else { usual.as_bytes() };
    let mut path = std::path::PathBuf::new();
    for (name, text) in [
        (".zattrs", of(0, PLATE)),
        ("A/1/.zattrs", of(1, WELL)),
        ("A/1/0/.zattrs", GROUP.as_bytes()),
        ("A/1/0/0/.zarray", ARRAY.as_bytes()),
        ("A/1/0/labels/.zattrs", of(2, LABELS)),
        ("A/1/0/labels/a/.zattrs", GROUP.as_bytes()),
        ("A/1/0/labels/a/0/.zarray", ARRAY.as_bytes()),
        ("A/1/0/labels/a/0/0.0", of(3, "")),
    ] {
        path = root_with(&format!("tree/{name}"), text).join("tree");
    }
    for image in zarr::open(&path, Limits::of(4 << 20)).into_iter().flatten().take(4) {
        look_at(&image);
        for label in image.labels().into_iter().flatten().take(4) {
            look_at(&*label.image);
        }
    }
}
