//! Measures the memory of reading a picture: each file is read in a process of its own, whose peak the system records.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use image::{ExtendedColorType, ImageEncoder};

use super::*;

const FILE: &str = "SWEEP_TEST_PICTURE";
const MIB: u64 = 1 << 20;

/// The process's largest memory so far, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
#[ignore = "run by `no_file_takes_more_than_its_pixels_allow`, in a process of its own"]
fn worker() {
    let path = std::env::var_os(FILE).unwrap();
    let before = peak();
    let read = open(Path::new(&path), DeepGrey::Own);
    println!("took {} read {}", peak() - before, u8::from(read.is_ok()));
}

/// Bytes that reading a file takes, and whether it was read.
fn measured(path: &Path) -> (u64, bool) {
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["picture::memory::worker", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FILE, path)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&done.stderr));
    // The test's own name stands before it on the line.
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let words: Vec<&str> = said.split_once("took ").unwrap().1.split_whitespace().collect();
    (words[0].parse().unwrap(), words[2] == "1")
}

fn zlib(bytes: u64) -> Vec<u8> {
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::copy(&mut std::io::repeat(0).take(bytes), &mut zlib).unwrap();
    zlib.finish().unwrap()
}

fn png(side: u32, colour: ExtendedColorType) -> Vec<u8> {
    let mut png = Vec::new();
    let bytes = side as usize * side as usize * usize::from(colour.bits_per_pixel() / 8);
    let fast = image::codecs::png::CompressionType::Fast;
    let filter = image::codecs::png::FilterType::NoFilter;
    image::codecs::png::PngEncoder::new_with_quality(&mut png, fast, filter)
        .write_image(&vec![0; bytes], side, side, colour)
        .unwrap();
    png
}

fn mha(side: u32, element: &str, channels: u32, values: &[u8]) -> Vec<u8> {
    let facts = format!(
        "ObjectType = Image\nNDims = 2\nDimSize = {side} {side}\nElementType = {element}\n\
         ElementNumberOfChannels = {channels}\nCompressedData = True\nElementDataFile = LOCAL\n"
    );
    [facts.as_bytes(), values].concat()
}

/// A TIFF of one strip, whose rows are `side` pixels of 16-bit RGB.
fn tiff(side: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = ::tiff::encoder::TiffEncoder::new(&mut bytes).unwrap();
    let mut page = encoder.new_image::<::tiff::encoder::colortype::RGB16>(side, side).unwrap();
    page.rows_per_strip(side).unwrap();
    page.write_data(&vec![7u16; side as usize * side as usize * 3]).unwrap();
    bytes.into_inner()
}

/// A TIFF of floating-point numbers of 64 bits.
fn doubles(side: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = ::tiff::encoder::TiffEncoder::new(&mut bytes).unwrap();
    let values: Vec<f64> = (0..side * side).map(|i| f64::from(i % 999)).collect();
    encoder.write_image::<::tiff::encoder::colortype::Gray64Float>(side, side, &values).unwrap();
    bytes.into_inner()
}

/// A black JPEG 2000 of 3000×3000 pixels of 16 bits (Pillow 11, `Image.fromarray(numpy.zeros((3000, 3000), "uint16")).save`).
const JPEG_2000: &str = "AAAADGpQICANCocKAAAAFGZ0eXBqcDIgAAAAAGpwMiAAAAAtanAyaAAAABZpaGRyAAALuAAAC7gAAQ8HAAAAAAAPY29scgEAAAAAABEAAADHanAyY/9P/1EAKQAAAAALuAAAC7gAAAAAAAAAAAAAC7gAAAu4AAAAAAAAAAAAAQ8BAf9SAAwAAAABAAUEBAAB/1wAE0CAiIiQiIiQiIiQiIiQiIiQ/2QAJQABQ3JlYXRlZCBieSBPcGVuSlBFRyB2ZXJzaW9uIDIuNS40/5AACgAAAAAARgAB/5Pv/iQV/2JBP/xIJ/9EggARUFSv/3/piWB/EVBUr/9+PjRvEVBUr/97lFjfEVBUr/9/6V+AgICAgP/Z";

/// A black JPEG 2000 of 3000×3000 pixels in colour (Pillow 11, `Image.new("RGB", (3000, 3000)).save`).
const JPEG_2000_COLOUR: &str = "AAAADGpQICANCocKAAAAFGZ0eXBqcDIgAAAAAGpwMiAAAAAtanAyaAAAABZpaGRyAAALuAAAC7gAAwcHAAAAAAAPY29scgEAAAAAABAAAAEuanAyY/9P/1EALwAAAAALuAAAC7gAAAAAAAAAAAAAC7gAAAu4AAAAAAAAAAAAAwcBAQcBAQcBAf9SAAwAAAABAAUEBAAB/1wAE0BASEhQSEhQSEhQSEhQSEhQ/2QAJQABQ3JlYXRlZCBieSBPcGVuSlBFRyB2ZXJzaW9uIDIuNS40/5AACgAAAAAApwAB/5Pv4BX8An+AT/AIEVBUr/9/6YlgfxFQVK//fj40bxFQVK//e5RY3xFQVK//f+lf7+AV/AJ/gE/wCBFQVK//f+mJYH8RUFSv/34+NG8RUFSv/3uUWN8RUFSv/3/pX+/gFfwCf4BP8AgRUFSv/3/piWB/EVBUr/9+PjRvEVBUr/97lFjfEVBUr/9/6V+AgICAgICAgICAgICAgID/2Q==";

/// A TIFF of one strip of inks of 16 bits.
fn inks(side: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = ::tiff::encoder::TiffEncoder::new(&mut bytes).unwrap();
    let mut page = encoder.new_image::<::tiff::encoder::colortype::CMYK16>(side, side).unwrap();
    page.rows_per_strip(side).unwrap();
    page.write_data(&vec![7u16; side as usize * side as usize * 4]).unwrap();
    bytes.into_inner()
}

/// A PNG with a compressed text before its pixels.
fn png_with_text(text: u64) -> Vec<u8> {
    let plain = png(8, ExtendedColorType::L8);
    let chunk = [b"zTXtkey\0\0".as_slice(), &zlib(text)].concat();
    let mut crc = flate2::Crc::new();
    crc.update(&chunk);
    let length = u32::try_from(chunk.len() - 4).unwrap().to_be_bytes();
    [&plain[..33], &length, &chunk, &crc.sum().to_be_bytes(), &plain[33..]].concat()
}

/// A `NIfTI` file that goes on long after its values.
fn nifti_bomb() -> Vec<u8> {
    let mut header = vec![0u8; 352];
    header[..4].copy_from_slice(&348i32.to_le_bytes());
    for (at, number) in [(40, 2i16), (42, 8), (44, 8), (70, 2)] {
        header[at..at + 2].copy_from_slice(&number.to_le_bytes());
    }
    header[108..112].copy_from_slice(&352f32.to_le_bytes());
    header[344..348].copy_from_slice(b"n+1\0");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&header).unwrap();
    std::io::copy(&mut std::io::repeat(0).take(400 * MIB), &mut gzip).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn no_file_takes_more_than_its_pixels_allow() {
    let side = 3000u32;
    let area = u64::from(side).pow(2);
    let jpeg = {
        let mut bytes = Vec::new();
        image::codecs::jpeg::JpegEncoder::new(&mut bytes).write_image(&[9; 64], 8, 8, ExtendedColorType::L8).unwrap();
        bytes.resize(bytes.len() + (300 << 20), 7);
        bytes
    };
    let files = [
        ("grey.png", area, true, png(side, ExtendedColorType::L8)),
        ("colour-deep.png", area, true, png(side, ExtendedColorType::Rgba16)),
        ("text.png", 64, false, png_with_text(400 * MIB)),
        ("strip.tif", area, true, tiff(side)),
        ("doubles.tif", area, true, doubles(side)),
        ("inks.tif", area, true, inks(side)),
        ("black.jp2", 9_000_000, true, base64::decode(JPEG_2000).unwrap()),
        ("colour.jp2", 9_000_000, true, base64::decode(JPEG_2000_COLOUR).unwrap()),
        ("doubles.mha", area, true, mha(side, "MET_DOUBLE", 1, &zlib(area * 8))),
        ("colours.mha", area, true, mha(side, "MET_DOUBLE", 4, &zlib(area * 32))),
        ("claim.mha", 64, false, mha(14_000, "MET_DOUBLE", 4, &zlib(1000))),
        ("long.mha", 64, true, mha(8, "MET_UCHAR", 1, &zlib(400 * MIB))),
        ("long.nii.gz", 64, true, nifti_bomb()),
        ("junk.jpg", 64, false, jpeg),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, pixels, is_picture, bytes) in files {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let (took, read) = measured(&path);
        println!("{name}: {} MiB, {} a pixel", took / MIB, took / pixels);
        let most = match name {
            "black.jp2" => 16,
            "colour.jp2" => 3 * 16,
            _ => 12,
        };
        assert!(took <= pixels * most + 64 * MIB, "{name} takes {} MiB for {pixels} pixels", took / MIB);
        // A text in a PNG may be passed over, or refused.
        assert!(read == is_picture || name == "text.png", "{name}: read {read}");
        fs::remove_file(path).unwrap();
    }
}
