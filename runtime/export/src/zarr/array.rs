//! The metadata of an array: `.zarray` of zarr v2, `zarr.json` of v3.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::codec::{BloscCodec, CodecError, Compression};
use crate::sample::{SampleType, swap};
use crate::source::ReadError;

/// An array, as far as images have it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Array {
    /// Samples along each dimension.
    pub(crate) shape: Vec<usize>,
    /// Samples that are compressed together.
    pub(crate) chunk: Vec<usize>,
    /// Chunks that are stored in one file, along each dimension; v3 only.
    pub(crate) shard: Option<Shard>,
    pub(crate) sample_type: SampleType,
    /// Whether whole numbers of 64 bits are stored, which all fit into 32.
    pub(crate) wide: bool,
    pub(crate) big_endian: bool,
    /// The sample of what is not stored, little-endian in the first bytes.
    pub(crate) fill: [u8; 8],
    pub(crate) codecs: Vec<Compression>,
    pub(crate) keys: Keys,
}

/// How chunks share a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shard {
    /// Chunks along each dimension.
    pub(crate) chunks: Vec<usize>,
    /// Whether the index has a CRC-32C.
    pub(crate) checked: bool,
    /// Whether the index is at the end, or else at the beginning.
    pub(crate) at_end: bool,
}

/// How the files of chunks are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keys {
    /// Behind `c`, as v3 has it.
    pub(crate) prefixed: bool,
    /// Between the indices.
    pub(crate) separator: char,
}

impl Keys {
    /// The file of a chunk, below the array's folder.
    pub(crate) fn path(self, index: &[usize]) -> PathBuf {
        let mut name = String::with_capacity(4 * index.len() + 2);
        if self.prefixed {
            name.push('c');
        }
        for number in index {
            if !name.is_empty() {
                name.push(self.separator);
            }
            name.push_str(&number.to_string());
        }
        PathBuf::from(name)
    }
}

/// The largest document of metadata, in bytes: 8 MiB, of which a tree of JSON may make twenty times as many. A plate of 1536 wells
/// has half of one.
pub(crate) const LARGEST: usize = 8 << 20;
/// No array of an image has more dimensions.
const DIMENSIONS: usize = 8;
const REWRITE: &str = "write it again with zstd, or with blosc and zstd or lz4";

impl Array {
    /// Reads `.zarray`.
    pub(crate) fn read_v2(path: &Path, document: &Value) -> Result<Self, ReadError> {
        let damaged = |problem: &str| ReadError::damaged(path, problem);
        if document["order"] != "C" {
            return Err(ReadError::unsupported(
                path,
                "its samples are in Fortran's order",
                "write it in order C",
            ));
        }
        if document["filters"].as_array().is_some_and(|filters| !filters.is_empty()) {
            return Err(ReadError::unsupported(path, "it has filters", REWRITE));
        }
        let kind = document["dtype"].as_str().ok_or_else(|| damaged("its dtype is no plain type"))?;
        let (Stored { sample_type, wide }, big_endian) = numpy_type(kind).ok_or_else(|| {
            let what = format!("samples of the type {kind:?} are none of OMERO's real numbers");
            ReadError::unsupported(path, what, "convert them to one of up to 32 bits, or to a float")
        })?;
        let codecs = match &document["compressor"] {
            Value::Null => Vec::new(),
            compressor => {
                let name = compressor["id"].as_str().unwrap_or_default();
                vec![known(path, name, compressor, sample_type)?]
            }
        };
        let separator = match document["dimension_separator"].as_str() {
            Some("/") => '/',
            None | Some(".") => '.',
            Some(_) => return Err(damaged("its dimension_separator is neither . nor /")),
        };
        let array = Self {
            shape: sides(&document["shape"]).ok_or_else(|| damaged("its shape is none"))?,
            chunk: sides(&document["chunks"]).ok_or_else(|| damaged("the shape of its chunks is none"))?,
            shard: None,
            sample_type,
            wide,
            big_endian,
            fill: fill(&document["fill_value"], sample_type)
                .ok_or_else(|| damaged("its fill_value is no sample"))?,
            codecs,
            keys: Keys { prefixed: false, separator },
        };
        array.checked(path)
    }

    /// Reads `zarr.json` of an array.
    pub(crate) fn read_v3(path: &Path, document: &Value) -> Result<Self, ReadError> {
        let damaged = |problem: &str| ReadError::damaged(path, problem);
        let kind = document["data_type"].as_str().unwrap_or_default();
        let Stored { sample_type, wide } = Stored::of(kind).ok_or_else(|| {
            let what =
                format!("samples of the type {} are none of OMERO's real numbers", document["data_type"]);
            ReadError::unsupported(path, what, "convert them to one of up to 32 bits, or to a float")
        })?;
        let grid = &document["chunk_grid"];
        if grid["name"] != "regular" {
            return Err(damaged("its chunk_grid is not regular"));
        }
        let mut chunk = sides(&grid["configuration"]["chunk_shape"])
            .ok_or_else(|| damaged("the shape of its chunks is none"))?;
        let encoding = &document["chunk_key_encoding"];
        let separator = |default| match encoding["configuration"]["separator"].as_str() {
            None => Ok(default),
            Some("/") => Ok('/'),
            Some(".") => Ok('.'),
            Some(_) => Err(damaged("the separator of its chunk keys is neither . nor /")),
        };
        let keys = match encoding["name"].as_str() {
            Some("default") => Keys { prefixed: true, separator: separator('/')? },
            Some("v2") => Keys { prefixed: false, separator: separator('.')? },
            _ => return Err(damaged("its chunk_key_encoding is neither default nor v2")),
        };
        let codecs = document["codecs"].as_array().ok_or_else(|| damaged("it has no codecs"))?;
        let mut shard = None;
        let (big_endian, codecs) = match codecs.as_slice() {
            [only] if only["name"] == "sharding_indexed" => {
                let (inner, found, codecs) = sharded(path, &only["configuration"], &chunk)?;
                (chunk, shard) = (inner, Some(found));
                chain(path, codecs, sample_type)?
            }
            codecs => chain(path, codecs, sample_type)?,
        };
        let array = Self {
            shape: sides(&document["shape"]).ok_or_else(|| damaged("its shape is none"))?,
            chunk,
            shard,
            sample_type,
            wide,
            big_endian,
            fill: fill(&document["fill_value"], sample_type)
                .ok_or_else(|| damaged("its fill_value is no sample"))?,
            codecs,
            keys,
        };
        array.checked(path)
    }

    fn checked(self, path: &Path) -> Result<Self, ReadError> {
        if self.shape.len() != self.chunk.len() || self.shape.len() > DIMENSIONS {
            return Err(ReadError::damaged(path, "its shape and that of its chunks do not fit"));
        }
        Ok(self)
    }

    /// Samples of a chunk as it is compressed, in bytes; `None` beyond what 64 bits count.
    pub(crate) fn chunk_bytes(&self) -> Option<usize> {
        self.chunk.iter().try_fold(self.stored_width(), |bytes, side| bytes.checked_mul(*side))
    }

    /// Bytes of a sample as it is stored.
    pub(crate) const fn stored_width(&self) -> usize {
        if self.wide { 8 } else { self.sample_type.bytes() }
    }

    /// Makes samples as all have them of those of a chunk as it is stored.
    pub(crate) fn normal(&self, mut samples: Vec<u8>) -> Result<Vec<u8>, CodecError> {
        if self.big_endian {
            swap(&mut samples, self.stored_width());
        }
        if !self.wide {
            return Ok(samples);
        }
        let narrow = |bytes: &[u8; 8]| {
            let number = i64::from_le_bytes(*bytes);
            let narrow = match self.sample_type {
                SampleType::Int32 => i32::try_from(number).map(i32::to_le_bytes),
                // Larger ones than a signed number has are negative here, and refused too.
                _ => u32::try_from(number).map(u32::to_le_bytes),
            };
            narrow.map_err(|_| CodecError(format!("the sample {number} of 64 bits does not fit into 32")))
        };
        let narrowed = samples.as_chunks().0.iter().map(narrow).collect::<Result<Vec<_>, _>>()?;
        Ok(narrowed.into_flattened())
    }

    /// Writes `.zarray`.
    pub(crate) fn to_v2(&self) -> Value {
        json!({
            "zarr_format": 2,
            "shape": self.shape,
            "chunks": self.chunk,
            "dtype": match self.sample_type {
                SampleType::Int8 => "|i1",
                SampleType::Uint8 => "|u1",
                SampleType::Int16 => "<i2",
                SampleType::Uint16 => "<u2",
                SampleType::Int32 => "<i4",
                SampleType::Uint32 => "<u4",
                SampleType::Float => "<f4",
                SampleType::Double => "<f8",
            },
            "compressor": self.codecs.first().map(to_numcodecs),
            "fill_value": if self.sample_type.is_float() { json!(0.0) } else { json!(0) },
            "order": "C",
            "filters": null,
            "dimension_separator": self.keys.separator,
        })
    }

    /// Writes `zarr.json`.
    pub(crate) fn to_v3(&self, dimension_names: &[&str]) -> Value {
        let mut codecs = vec![match self.sample_type.bytes() {
            1 => json!({ "name": "bytes" }),
            _ => json!({ "name": "bytes", "configuration": { "endian": "little" } }),
        }];
        codecs.extend(self.codecs.iter().map(to_v3_codec));
        let stored = match &self.shard {
            None => self.chunk.clone(),
            Some(shard) => {
                codecs = vec![json!({ "name": "sharding_indexed", "configuration": {
                    "chunk_shape": self.chunk,
                    "codecs": codecs,
                    "index_codecs": [
                        { "name": "bytes", "configuration": { "endian": "little" } },
                        { "name": "crc32c" },
                    ],
                    "index_location": "end",
                }})];
                self.chunk.iter().zip(&shard.chunks).map(|(side, chunks)| side * chunks).collect()
            }
        };
        json!({
            "zarr_format": 3,
            "node_type": "array",
            "shape": self.shape,
            "data_type": self.sample_type.zarr_name(),
            "chunk_grid": { "name": "regular", "configuration": { "chunk_shape": stored } },
            "chunk_key_encoding": { "name": "default", "configuration": { "separator": "/" } },
            "fill_value": if self.sample_type.is_float() { json!(0.0) } else { json!(0) },
            "codecs": codecs,
            "dimension_names": dimension_names,
            "attributes": {},
        })
    }
}

/// A list of sides, none of them 0 or beyond what OMERO counts.
fn sides(value: &Value) -> Option<Vec<usize>> {
    let side = |value: &Value| {
        value
            .as_u64()
            .and_then(|side| usize::try_from(side).ok())
            .filter(|side| (1..=crate::shape::LONGEST).contains(side))
    };
    value.as_array()?.iter().map(side).collect()
}

/// A type as numpy writes it, and whether its bytes are the other way round.
fn numpy_type(name: &str) -> Option<(Stored, bool)> {
    let (order, kind) = name.split_at_checked(1)?;
    let (family, bytes) = kind.split_at_checked(1)?;
    let bits = 8 * bytes.parse::<usize>().ok().filter(|count| [1, 2, 4, 8].contains(count))?;
    let name = match family {
        "i" => format!("int{bits}"),
        "u" => format!("uint{bits}"),
        "f" => format!("float{bits}"),
        "b" if bits == 8 => "bool".to_owned(),
        _ => return None,
    };
    let stored = Stored::of(&name)?;
    match order {
        "<" | "|" => Some((stored, false)),
        ">" => Some((stored, true)),
        _ => None,
    }
}

/// What samples are stored as.
struct Stored {
    sample_type: SampleType,
    wide: bool,
}

impl Stored {
    /// By the name that zarr v3 has. Numbers of objects often have 64 bits, of which none is used.
    fn of(name: &str) -> Option<Self> {
        let (sample_type, wide) = match name {
            "int64" => (SampleType::Int32, true),
            "uint64" => (SampleType::Uint32, true),
            "bool" => (SampleType::Uint8, false),
            name => (SampleType::ALL.into_iter().find(|known| known.zarr_name() == name)?, false),
        };
        Some(Self { sample_type, wide })
    }
}

/// The sample of what is not stored.
fn fill(value: &Value, sample_type: SampleType) -> Option<[u8; 8]> {
    let mut fill = [0; 8];
    let bytes = match (sample_type, value) {
        (_, Value::Null | Value::Bool(false)) => return Some(fill),
        (SampleType::Uint8, Value::Bool(true)) => vec![1],
        (SampleType::Float | SampleType::Double, value) => {
            let number = match value.as_str() {
                Some("NaN") => f64::NAN,
                Some("Infinity") => f64::INFINITY,
                Some("-Infinity") => f64::NEG_INFINITY,
                Some(_) => return None,
                None => value.as_f64()?,
            };
            match sample_type {
                SampleType::Float => (number as f32).to_le_bytes().to_vec(),
                _ => number.to_le_bytes().to_vec(),
            }
        }
        // Some writers have 0.0 here too.
        (_, value) => {
            let whole = || value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 9e15);
            let number = value.as_i64().or_else(|| whole().map(|number| number as i64))?;
            let (low, high) = sample_type.range();
            if !(low..=high).contains(&(number as f64)) {
                return None;
            }
            number.to_le_bytes()[..sample_type.bytes()].to_vec()
        }
    };
    fill[..bytes.len()].copy_from_slice(&bytes);
    Some(fill)
}

/// The codecs of v3 from the samples to the bytes that are stored: the byte order, and what compresses.
fn chain(
    path: &Path,
    codecs: &[Value],
    sample_type: SampleType,
) -> Result<(bool, Vec<Compression>), ReadError> {
    let Some((bytes, rest)) = codecs.split_first().filter(|(first, _)| first["name"] == "bytes") else {
        let what = "its codecs do not begin with `bytes`";
        return Err(ReadError::unsupported(path, what, "write it again without filters and transposition"));
    };
    let big_endian = match bytes["configuration"]["endian"].as_str() {
        Some("big") => true,
        Some("little") => false,
        None if sample_type.bytes() == 1 => false,
        _ => return Err(ReadError::damaged(path, "its codec `bytes` has no byte order")),
    };
    let codecs = rest.iter().map(|codec| {
        let name = codec["name"].as_str().unwrap_or_default();
        known(path, name, &codec["configuration"], sample_type)
    });
    let codecs = codecs.collect::<Result<Vec<_>, _>>()?;
    if codecs.len() > 4 {
        return Err(ReadError::unsupported(path, "it has more than five codecs", REWRITE));
    }
    Ok((big_endian, codecs))
}

/// What of `sharding_indexed` is read: the shape of a chunk, how many are in a file, the codecs of a chunk.
fn sharded<'a>(
    path: &Path,
    configuration: &'a Value,
    stored: &[usize],
) -> Result<(Vec<usize>, Shard, &'a [Value]), ReadError> {
    let damaged = |problem: &str| ReadError::damaged(path, problem);
    let chunk = sides(&configuration["chunk_shape"])
        .filter(|chunk| chunk.len() == stored.len())
        .filter(|chunk| chunk.iter().zip(stored).all(|(chunk, stored)| stored % chunk == 0))
        .ok_or_else(|| damaged("the chunks of its shards do not fit into them"))?;
    let chunks: Vec<usize> = stored.iter().zip(&chunk).map(|(stored, chunk)| stored / chunk).collect();
    let index = configuration["index_codecs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_plain = |codec: &Value| codec["name"] == "bytes" && codec["configuration"]["endian"] == "little";
    let checked = match index {
        [bytes] if is_plain(bytes) => false,
        [bytes, sum] if is_plain(bytes) && sum["name"] == "crc32c" => true,
        _ => {
            let what = "the index of its shards is neither plain nor followed by a CRC-32C";
            return Err(ReadError::unsupported(path, what, "write it with the usual index"));
        }
    };
    let at_end = match configuration["index_location"].as_str() {
        None | Some("end") => true,
        Some("start") => false,
        Some(_) => return Err(damaged("the index of its shards is neither at the start nor at the end")),
    };
    let codecs = configuration["codecs"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok((chunk, Shard { chunks, checked, at_end }, codecs))
}

/// A compressor by its name; its settings do not matter to a reader, who finds them in what was compressed.
fn known(
    path: &Path,
    name: &str,
    settings: &Value,
    sample_type: SampleType,
) -> Result<Compression, ReadError> {
    Ok(match name {
        "blosc" => {
            let inner = match settings["cname"].as_str() {
                Some("zstd") => BloscCodec::Zstd,
                Some("zlib") => BloscCodec::Zlib,
                _ => BloscCodec::Lz4,
            };
            let width = sample_type.bytes() as u8;
            let level = settings["clevel"].as_u64().and_then(|level| u8::try_from(level).ok()).unwrap_or(5);
            Compression::Blosc { inner, level, width }
        }
        "zstd" => Compression::Zstd {
            level: settings["level"].as_i64().and_then(|level| i32::try_from(level).ok()).unwrap_or(0),
        },
        "gzip" => Compression::Gzip { level: level(settings) },
        "zlib" => Compression::Zlib { level: level(settings) },
        "lz4" => Compression::Lz4,
        "crc32c" => Compression::Crc32c,
        other => {
            let what = format!("its compressor {other:?} is not known");
            return Err(ReadError::unsupported(path, what, REWRITE));
        }
    })
}

fn level(settings: &Value) -> u8 {
    settings["level"].as_u64().and_then(|level| u8::try_from(level).ok()).unwrap_or(1).min(9)
}

/// As numcodecs has it, in `.zarray`.
fn to_numcodecs(codec: &Compression) -> Value {
    match *codec {
        Compression::Blosc { inner, level, .. } => json!({
            "id": "blosc",
            "cname": inner.name(),
            "clevel": level,
            // Of single bytes it does nothing, and omero-cli-zarr has it too.
            "shuffle": 1,
            "blocksize": 0,
        }),
        Compression::Zstd { level } => json!({ "id": "zstd", "level": level }),
        Compression::Gzip { level } => json!({ "id": "gzip", "level": level }),
        Compression::Zlib { level } => json!({ "id": "zlib", "level": level }),
        Compression::Lz4 => json!({ "id": "lz4", "acceleration": 1 }),
        Compression::Crc32c => json!({ "id": "crc32c" }),
    }
}

/// As zarr v3 has it.
fn to_v3_codec(codec: &Compression) -> Value {
    match *codec {
        Compression::Blosc { inner, level, width } => json!({ "name": "blosc", "configuration": {
            "cname": inner.name(),
            "clevel": level,
            "shuffle": if width > 1 { "shuffle" } else { "noshuffle" },
            "typesize": width,
            "blocksize": 0,
        }}),
        Compression::Zstd { level } => {
            json!({ "name": "zstd", "configuration": { "level": level, "checksum": false } })
        }
        Compression::Gzip { level } => json!({ "name": "gzip", "configuration": { "level": level } }),
        Compression::Zlib { level } => {
            json!({ "name": "numcodecs.zlib", "configuration": { "level": level } })
        }
        Compression::Lz4 => json!({ "name": "numcodecs.lz4", "configuration": {} }),
        Compression::Crc32c => json!({ "name": "crc32c" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(shard: Option<Shard>) -> Array {
        Array {
            shape: vec![3, 700, 900],
            chunk: vec![1, 512, 512],
            shard,
            sample_type: SampleType::Uint16,
            wide: false,
            big_endian: false,
            fill: [0; 8],
            codecs: vec![Compression::Blosc { inner: BloscCodec::Zstd, level: 1, width: 2 }],
            keys: Keys { prefixed: false, separator: '/' },
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let path = Path::new(".zarray");
        assert_eq!(Array::read_v2(path, &array(None).to_v2()).expect("it is whole"), array(None));
        for shard in [None, Some(Shard { chunks: vec![1, 2, 2], checked: true, at_end: true })] {
            let keys = Keys { prefixed: true, separator: '/' };
            let array = Array { keys, ..array(shard) };
            let read = Array::read_v3(path, &array.to_v3(&["c", "y", "x"])).expect("it is whole");
            assert_eq!(read, array);
        }
    }

    #[test]
    fn chunks_are_called_as_each_version_calls_them() {
        let path = |prefixed, separator| Keys { prefixed, separator }.path(&[0, 12, 3]).display().to_string();
        assert_eq!(path(false, '/'), "0/12/3");
        assert_eq!(path(false, '.'), "0.12.3");
        assert_eq!(path(true, '/'), "c/0/12/3");
    }

    #[test]
    fn what_makes_no_sense_or_is_not_read_is_told_apart() {
        let path = Path::new("image/.zarray");
        let mut told = Vec::new();
        for (key, value) in [
            ("shape", json!([3, 0, 900])),
            ("shape", json!([3, -7, 900])),
            ("shape", json!("large")),
            ("shape", json!([700, 900])),
            ("chunks", json!([1, 1, u64::MAX])),
            ("dtype", json!("<c8")),
            ("dtype", json!("<u3")),
            ("dtype", json!("<f2")),
            ("dtype", json!([["a", "<u2"]])),
            ("order", json!("F")),
            ("filters", json!([{ "id": "delta" }])),
            ("compressor", json!({ "id": "bz2", "level": 1 })),
            ("fill_value", json!(70_000)),
            ("fill_value", json!("NaN")),
            ("dimension_separator", json!("..")),
        ] {
            let mut document = array(None).to_v2();
            document[key] = value.clone();
            let error = Array::read_v2(path, &document).expect_err("it is wrong");
            told.push(format!("{key} {value}: {error}"));
        }
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn numbers_of_64_bits_are_read_where_they_fit_into_32() {
        let of = |kind: &str, numbers: [i64; 2]| {
            let mut document = array(None).to_v2();
            document["dtype"] = kind.into();
            let array = Array::read_v2(Path::new("image/.zarray"), &document).expect("it is whole");
            array.normal(numbers.map(i64::to_le_bytes).concat()).map_err(|error| error.to_string())
        };
        assert_eq!(of("<i8", [-1, 7]), Ok([-1_i32, 7].map(i32::to_le_bytes).concat()));
        assert_eq!(of("<u8", [i64::from(u32::MAX), 7]), Ok([u32::MAX, 7].map(u32::to_le_bytes).concat()));
        assert_eq!(of(">u8", [1 << 56, 0]), Ok([1_u32, 0].map(u32::to_le_bytes).concat()));
        for (kind, number) in [("<i8", 1 << 31), ("<u8", 1 << 32), ("<u8", -1)] {
            assert!(of(kind, [0, number]).expect_err("it does not fit").contains("does not fit into 32"));
        }
    }

    #[test]
    fn what_is_not_stored_is_a_sample_of_the_type() {
        let of = |kind, value: Value| fill(&value, kind).map(|bytes| bytes[..kind.bytes()].to_vec());
        assert_eq!(of(SampleType::Int16, json!(-2)), Some(vec![254, 255]));
        assert_eq!(of(SampleType::Uint8, json!(7.0)), Some(vec![7]));
        assert_eq!(of(SampleType::Uint32, json!(null)), Some(vec![0; 4]));
        assert_eq!(of(SampleType::Float, json!("-Infinity")), Some(f32::NEG_INFINITY.to_le_bytes().to_vec()));
        assert_eq!(of(SampleType::Uint8, json!(-1)), None);
        assert_eq!(of(SampleType::Uint8, json!(true)), Some(vec![1]));
    }
}
