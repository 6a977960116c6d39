//! An OME-Zarr: the first byte tells which of its files is foreign (the attributes of the group, the metadata of the array, or a
//! chunk of one codec), the rest is what that one holds. The others are in order.
#![no_main]

use biomero_export::source::Limits;
use biomero_export::zarr;
use biomero_fuzz::{look_at, root_with};
use libfuzzer_sys::fuzz_target;

const GROUP: &str = r#"{"multiscales":[{"axes":[{"name":"y"},{"name":"x"}],"datasets":[{"path":"0"}]}]}"#;
const SHARDED: &str = r#"{"zarr_format":3,"node_type":"array","shape":[16,16],"data_type":"uint8","chunk_grid":{"name":"regular","configuration":{"chunk_shape":[16,16]}},"chunk_key_encoding":{"name":"default"},"fill_value":0,"codecs":[{"name":"sharding_indexed","configuration":{"chunk_shape":[8,8],"codecs":[{"name":"bytes"}],"index_codecs":[{"name":"bytes","configuration":{"endian":"little"}}],"index_location":"start"}}]}"#;
const CODECS: [&str; 6] = ["", "blosc", "zstd", "gzip", "zlib", "lz4"];

fuzz_target!(|data: &[u8]| {
    let Some((first, content)) = data.split_first() else { return };
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
});
