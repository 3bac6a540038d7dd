//! Pictures asked for in colour, of every format that has colours.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

use super::*;

/// Another colour in every pixel, of three rows and five columns.
fn colours() -> RgbImage {
    RgbImage::from_fn(5, 3, |x, y| Rgb([x as u8 * 50, y as u8 * 100, 255 - x as u8 * 40 - y as u8]))
}

fn planes_of(image: &RgbImage) -> Vec<u8> {
    planes(image.as_raw(), 3)
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn in_colour(bytes: &[u8]) -> Picture {
    decode_stored(bytes, Channels::Colour).unwrap().picture(DeepGrey::Own)
}

#[test]
fn colours_stay_colours_where_they_are_wanted() {
    let size = Size { height: 3, width: 5 };
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff] {
        let bytes = encoded(colours(), format);
        let Grey { size: found, pixels, .. } = in_colour(&bytes).grey;
        assert_eq!((found, pixels), (size, planes_of(&colours())), "{format:?}");
        assert_eq!(decode(&bytes).unwrap().pixels.len(), size.area(), "{format:?} in grey");
    }
}

#[test]
fn alpha_is_left_out() {
    let pixel = |x: u32, y: u32| colours().get_pixel(x, y).0;
    let with_alpha = RgbaImage::from_fn(5, 3, |x, y| {
        let [r, g, b] = pixel(x, y);
        Rgba([r, g, b, x as u8 * 60])
    });
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        assert_eq!(in_colour(&encoded(with_alpha.clone(), format)).grey.pixels, planes_of(&colours()), "{format:?}");
    }
}

#[test]
fn sixteen_bits_are_shown_by_one_range_for_all_channels() {
    // Blue never comes near white: a range of its own would make it as bright as red.
    let deep = image::ImageBuffer::<Rgb<u16>, _>::from_fn(60, 60, |x, y| {
        Rgb([(x * 1100) as u16, (y * 1100) as u16, ((x + y) * 100) as u16])
    });
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        let picture = in_colour(&encoded(deep.clone(), format));
        assert_eq!(picture.range, Some(GreyRange { low: 0.0, high: 65_535.0 }), "{format:?}");
        let brightest = |channel: usize| picture.grey.pixels[channel * 3600..][..3600].iter().max().copied().unwrap();
        assert_eq!([0, 1, 2].map(brightest), [253, 253, 46], "{format:?}");
    }
}

#[test]
fn a_palette_is_looked_up() {
    let bytes = {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 3, 1);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_palette(vec![255, 0, 0, 0, 200, 0, 0, 0, 100]);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&[2, 0, 1]).unwrap();
        writer.finish().unwrap();
        bytes
    };
    assert_eq!(in_colour(&bytes).grey.pixels, [0, 255, 0, 0, 0, 200, 100, 0, 0]);
}

#[test]
fn every_plane_is_turned() {
    let turned = in_colour(&encoded(colours(), ImageFormat::Png));
    let decoded = decode_stored(&encoded(colours(), ImageFormat::Png), Channels::Colour).unwrap();
    let upside_down = Decoded { orientation: Orientation::from_exif(3), ..decoded }.picture(DeepGrey::Own);
    for (plane, other) in turned.grey.pixels.chunks(15).zip(upside_down.grey.pixels.chunks(15)) {
        assert!(plane.iter().eq(other.iter().rev()));
    }
    let decoded = decode_stored(&encoded(colours(), ImageFormat::Png), Channels::Colour).unwrap();
    let quarter = Decoded { orientation: Orientation::from_exif(6), ..decoded }.picture(DeepGrey::Own);
    assert_eq!(quarter.grey.size, Size { height: 5, width: 3 });
    // The first row is the first column from below.
    assert_eq!(quarter.grey.pixels[15..18], [200, 100, 0]);
}

#[test]
fn values_side_by_side_are_colours_too() {
    let file = |colour: &[u8]| {
        let head =
            "ObjectType = Image\nNDims = 2\nDimSize = 2 1\nElementType = MET_UCHAR\nElementNumberOfChannels = 3\n";
        [head.as_bytes(), b"ElementDataFile = LOCAL\n", colour].concat()
    };
    assert_eq!(in_colour(&file(&[1, 2, 3, 4, 5, 6])).grey.pixels, [1, 4, 2, 5, 3, 6]);
    let nrrd = b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 3 2 1\nkinds: RGB-color domain domain\nencoding: raw\n\n";
    assert_eq!(in_colour(&[&nrrd[..], &[1, 2, 3, 4, 5, 6]].concat()).grey.pixels, [1, 4, 2, 5, 3, 6]);
}

#[test]
fn a_grey_file_stays_grey() {
    let grey = image::GrayImage::from_fn(4, 2, |x, y| image::Luma([(x * 60 + y) as u8]));
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Tiff] {
        assert_eq!(in_colour(&encoded(grey.clone(), format)).grey.pixels.len(), 8, "{format:?}");
    }
}

#[test]
fn a_picture_in_colour_is_written_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    write_png(&path, Size { height: 3, width: 5 }, &planes_of(&colours())).unwrap();
    assert_eq!(open_in(&path, DeepGrey::Own, Channels::Colour).unwrap().grey.pixels, planes_of(&colours()));
}

/// The luma of ITU-R BT.709 of planes.
fn luma(planes: &[u8], area: usize) -> Vec<f64> {
    let value = |channel: usize, pixel: usize| f64::from(planes[channel * area + pixel]);
    (0..area).map(|pixel| 0.2126 * value(0, pixel) + 0.7152 * value(1, pixel) + 0.0722 * value(2, pixel)).collect()
}

#[test]
fn the_luma_of_the_colours_of_every_fixture_is_its_grey_picture() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let (mut in_colour, mut files) = (0, Vec::new());
    for folder in ["pictures", "formats"] {
        files.extend(fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path()));
    }
    for file in files {
        let Ok(grey) = open(&file, DeepGrey::Own) else { continue };
        let colour = open_in(&file, DeepGrey::Own, Channels::Colour).unwrap();
        let area = grey.grey.size.area();
        assert_eq!(colour.grey.size, grey.grey.size, "{}", file.display());
        if colour.grey.pixels.len() == area {
            assert_eq!(colour, grey, "{}", file.display());
            continue;
        }
        assert_eq!(colour.grey.pixels.len(), 3 * area, "{}", file.display());
        // The range of deep colours is not that of their luma.
        if grey.range.is_some() {
            continue;
        }
        in_colour += 1;
        for (luma, grey) in luma(&colour.grey.pixels, area).into_iter().zip(&grey.grey.pixels) {
            assert!((luma - f64::from(*grey)).abs() <= 1.5, "{}: {luma} {grey}", file.display());
        }
    }
    assert!(in_colour >= 3, "only {in_colour} fixtures in colour");
}

/// A JPEG of four inks, a quarter of the picture each, as Pillow 11 writes it: inks are inverted, as an Adobe marker says.
const INKS: &str = "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwADAgIDAgIDAwMDBAMDBAUIBQUEBAUKBwcGCAwKDAwLCgsLDQ4SEA0OEQ4LCxAWEBETFBUVFQwPFxgWFBgSFBUU/8AAFAgAEAAQBEMRAE0RAFkRAEsRAP/EABgAAQADAQAAAAAAAAAAAAAAAAkFBwoI/8QAFBABAAAAAAAAAAAAAAAAAAAAAP/aAA4EQwBNAFkASwAAPwDjwjpHScH7CqhVXps8C0AqKvQjNo0LP//Z";

#[test]
fn inks_of_a_jpeg_are_inverted_with_and_without_its_marker() {
    let marked = base64::decode(INKS).unwrap();
    let at = marked.windows(4).position(|bytes| bytes == [0xff, 0xee, 0, 14]).unwrap();
    // Viewers take files without it alike (Pillow, ImageMagick, Chromium).
    let plain = [&marked[..at], &marked[at + 16..]].concat();
    // What Pillow makes of it.
    let expected = [[53, 226, 226], [207, 63, 190], [55, 55, 55], [225, 245, 35]];
    for bytes in [marked, plain] {
        let pixels = in_colour(&bytes).grey.pixels;
        for (quarter, colour) in [(2, 2), (13, 2), (2, 13), (13, 13)].into_iter().zip(expected) {
            let (x, y) = quarter;
            let found = [0, 1, 2].map(|channel| i32::from(pixels[channel * 256 + y * 16 + x]));
            assert!(found.iter().zip(colour).all(|(a, b)| (a - b).abs() < 6), "{quarter:?}: {found:?}, {colour:?}");
        }
        assert!(decode_stored(&bytes, Channels::Grey).unwrap().lost_colours());
        assert!(!decode_stored(&bytes, Channels::Colour).unwrap().lost_colours());
    }
}

#[test]
fn three_equal_channels_are_no_colours() {
    let grey = RgbImage::from_fn(5, 3, |x, y| Rgb([(x * 40 + y) as u8; 3]));
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff] {
        assert!(!decode_stored(&encoded(grey.clone(), format), Channels::Grey).unwrap().lost_colours(), "{format:?}");
        assert!(decode_stored(&encoded(colours(), format), Channels::Grey).unwrap().lost_colours(), "{format:?}");
    }
}
