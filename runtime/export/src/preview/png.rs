//! PNG, as far as a picture of three bytes a pixel needs it: ISO/IEC 15948.

use std::io::Read as _;

use super::Picture;

/// The bytes of a file.
pub(super) fn encode(picture: &Picture) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = Vec::with_capacity(13);
    header.extend_from_slice(&(picture.width as u32).to_be_bytes());
    header.extend_from_slice(&(picture.height as u32).to_be_bytes());
    // Eight bits, red green blue, the only compression and filtering there are, not interlaced.
    header.extend_from_slice(&[8, 2, 0, 0, 0]);
    chunk(b"IHDR", &header, &mut file);
    // Each row as the difference from the one above.
    let row = picture.width * 3;
    let mut filtered = Vec::with_capacity((row + 1) * picture.height);
    let mut above = vec![0; row];
    for pixels in picture.pixels.chunks_exact(row.max(1)) {
        filtered.push(2);
        filtered.extend(pixels.iter().zip(&above).map(|(pixel, above)| pixel.wrapping_sub(*above)));
        above.copy_from_slice(pixels);
    }
    let mut compressed = Vec::new();
    let mut encoder = flate2::read::ZlibEncoder::new(filtered.as_slice(), flate2::Compression::default());
    // Nothing fails that reads from memory.
    let _ = encoder.read_to_end(&mut compressed);
    chunk(b"IDAT", &compressed, &mut file);
    chunk(b"IEND", &[], &mut file);
    file
}

fn chunk(name: &[u8; 4], data: &[u8], file: &mut Vec<u8>) {
    file.extend_from_slice(&(data.len() as u32).to_be_bytes());
    let start = file.len();
    file.extend_from_slice(name);
    file.extend_from_slice(data);
    let mut sum = flate2::Crc::new();
    sum.update(&file[start..]);
    file.extend_from_slice(&sum.sum().to_be_bytes());
}
