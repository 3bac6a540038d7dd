#!/usr/bin/env python3
"""Image files of every kind that pictures are read from, made by the tools that people make them with.

    pip install numpy pillow tifffile imagecodecs nibabel pynrrd SimpleITK
    python3 scripts/picture_fixtures.py

Writes tests/fixtures/pictures: tiny files of one picture, and `expected.json`: per file its size, grey values as viewers show
them where those are not the picture's own, and spacing. The picture has no symmetry, so that every way of turning it differs.
"""

import json
import pathlib
import shutil

import nibabel
import nrrd
import numpy as np
import SimpleITK as sitk
import tifffile
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent / "tests/fixtures/pictures"
EXPECTED = {}


def picture(width=24, height=16):
    y, x = np.mgrid[:height, :width]
    blob = 120 * np.exp(-((x - 6) ** 2 + (y - 4) ** 2) / 18)
    return (20 + 3 * x + 4 * y + blob).clip(0, 255).astype(np.uint8)


def expect(name, values, spacing=None):
    values = np.asarray(values)
    EXPECTED[name] = {"width": values.shape[1], "height": values.shape[0], "spacing": spacing}
    if not np.array_equal(values, picture()):
        EXPECTED[name]["grey"] = values.astype(int).ravel().tolist()


def stretched(values):
    values = values.astype(float)
    return np.floor((values - values.min()) / (values.max() - values.min()) * 255 + 0.5)


def tiffs(grey):
    deep = grey.astype(np.uint16) * 257
    colour = np.repeat(grey[:, :, None], 3, axis=2)
    for name, values, more, shown in [
        ("big", grey, {"bigtiff": True}, grey),
        ("big-endian-big", grey, {"bigtiff": True, "byteorder": ">"}, grey),
        ("tiled", grey, {"tile": (16, 16)}, grey),
        ("white-is-zero", 255 - grey, {"photometric": "miniswhite"}, grey),
        ("white-is-zero-deep", 65535 - deep, {"photometric": "miniswhite"}, grey),
        ("white-is-zero-big-endian", 65535 - deep, {"photometric": "miniswhite", "byteorder": ">"}, grey),
        ("lzw-predictor", deep, {"compression": "lzw", "predictor": True}, grey),
        ("zip-tiled-predictor", deep, {"compression": "zlib", "predictor": True, "tile": (16, 16)}, grey),
        ("jpeg", grey, {"compression": "jpeg", "compressionargs": {"level": 98}}, grey),
        ("planes", colour.transpose(2, 0, 1), {"photometric": "rgb", "planarconfig": "separate"}, grey),
        ("planes-deep", colour.transpose(2, 0, 1).astype(np.uint16) * 257,
         {"photometric": "rgb", "planarconfig": "separate"}, grey),
        ("alpha", np.dstack([colour, 0 * grey]), {"photometric": "rgb", "extrasamples": ["unassalpha"]}, grey),
        ("grey-and-more", np.dstack([grey, 0 * grey]), {"photometric": "minisblack", "extrasamples": ["unspecified"],
                                                        "planarconfig": "contig"}, grey),
        ("colour-deep", colour.astype(np.uint16) * 257, {"photometric": "rgb"}, grey),
        ("signed", grey.astype(np.int16) * 100 - 9000, {}, stretched(grey)),
        ("float", grey.astype(np.float32) / 7 - 3, {}, stretched(grey)),
        ("float-predictor", grey.astype(np.float32) / 7 - 3, {"compression": "zlib", "predictor": True}, stretched(grey)),
        ("double", grey.astype(np.float64) + 1e9, {}, stretched(grey)),
        ("32-bits", grey.astype(np.uint32) + 4_000_000_000, {}, stretched(grey)),
        ("narrow", grey.astype(np.uint16) * 9 + 33_069, {}, stretched(grey)),
    ]:
        tifffile.imwrite(ROOT / f"{name}.tif", values, **more)
        expect(f"{name}.tif", shown)
    with tifffile.TiffWriter(ROOT / "pages.tif") as pages:
        for page in (grey, 255 - grey):
            pages.write(page, contiguous=False)
    expect("pages.tif", grey)
    palette = np.zeros((3, 256), np.uint16)
    palette[:, ::-1] = np.arange(256) * 257
    tifffile.imwrite(ROOT / "palette.tif", 255 - grey, photometric="palette", colormap=palette)
    expect("palette.tif", grey)
    quantised = Image.fromarray(grey).quantize(16)
    quantised.save(ROOT / "palette-lzw.tif", compression="tiff_lzw")
    expect("palette-lzw.tif", np.asarray(quantised.convert("L")))
    bilevel = Image.fromarray(np.where(grey > 90, 255, 0).astype(np.uint8)).convert("1", dither=Image.Dither.NONE)
    bilevel.save(ROOT / "bilevel.tif", compression="group4")
    expect("bilevel.tif", np.asarray(bilevel) * 255)
    Image.fromarray(colour).save(ROOT / "jpeg-colour.tif", compression="jpeg", quality=98)
    expect("jpeg-colour.tif", grey)
    Image.fromarray(colour).convert("CMYK").save(ROOT / "cmyk.tif")
    expect("cmyk.tif", grey)
    for value in range(1, 9):
        tifffile.imwrite(ROOT / f"turned-{value}.tif", grey, extratags=[(274, "H", 1, value, True)])
        expect(f"turned-{value}.tif", turned(grey, value))


def turned(grey, value):
    """As Pillow shows it, whose code follows the table of EXIF."""
    method = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
              5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
              8: Image.Transpose.ROTATE_90}.get(value)
    image = Image.fromarray(np.asarray(grey))
    return np.asarray(image if method is None else image.transpose(method))


def pngs_and_jpegs(grey):
    image, colour = Image.fromarray(grey), Image.fromarray(np.repeat(grey[:, :, None], 3, axis=2))
    deep = grey.astype(np.uint16) * 257
    Image.fromarray(deep).save(ROOT / "deep.png")
    expect("deep.png", grey)
    marked = grey.astype(np.uint16) * 16
    marked[3, 20] = 65535
    Image.fromarray(marked).save(ROOT / "marked.png")
    shown = np.floor(marked.clip(0, 4095).astype(float) * 255 / 4095 + 0.5)
    expect("marked.png", shown)
    quantised = image.quantize(16)
    quantised.save(ROOT / "palette.png", bits=4)
    expect("palette.png", np.asarray(quantised.convert("L")))
    Image.merge("LA", (image, image)).save(ROOT / "alpha.png")
    expect("alpha.png", grey)
    for value in range(1, 9):
        exif = Image.Exif()
        exif[274] = value
        image.save(ROOT / f"turned-{value}.jpg", quality=98, exif=exif)
        expect(f"turned-{value}.jpg", turned(np.asarray(Image.open(ROOT / f"turned-{value}.jpg")), value))
        image.save(ROOT / f"turned-{value}.png", exif=exif)
        expect(f"turned-{value}.png", turned(grey, value))
    for name, source, more in [("progressive", colour, {"progressive": True}), ("grey", image, {}),
                               ("cmyk", colour.convert("CMYK"), {})]:
        source.save(ROOT / f"{name}.jpg", quality=98, **more)
        expect(f"{name}.jpg", np.asarray(Image.open(ROOT / f"{name}.jpg").convert("RGB").convert("L")))
    for name in ["grey", "rle"]:
        source = image if name == "grey" else image.quantize(16)
        source.save(ROOT / f"{name}.bmp")
        expect(f"{name}.bmp", np.asarray(source.convert("L")))


def volumes(grey):
    for name in ["slice.nii", "slice.nii.gz"]:
        volume = nibabel.Nifti1Image(grey.T[:, :, None], np.diag([0.25, 0.5, 1, 1]))
        volume.header.set_xyzt_units("mm")
        nibabel.save(volume, ROOT / name)
        expect(name, grey, [0.25, 0.5])
    signed = nibabel.Nifti1Image(grey.T.astype(np.int16) - 100, np.diag([0.25, 0.5, 1, 1]))
    nibabel.save(signed, ROOT / "signed.nii")
    expect("signed.nii", stretched(grey), [0.25, 0.5])
    for name, encoding in [("raw.nrrd", "raw"), ("gzip.nrrd", "gzip"), ("apart.nhdr", "raw")]:
        header = {"spacings": [0.25, 0.5], "units": ["mm", "mm"], "encoding": encoding}
        nrrd.write(str(ROOT / name), grey.T, header, detached_header=name.endswith("nhdr"))
        expect(name, grey, [0.25, 0.5])
    for name, compress in [("apart.mhd", False), ("apart-compressed.mhd", True)]:
        image = sitk.GetImageFromArray(grey)
        image.SetSpacing((0.25, 0.5))
        sitk.WriteImage(image, str(ROOT / name), useCompression=compress)
        expect(name, grey, [0.25, 0.5])
    image = sitk.GetImageFromArray(grey.astype(np.int16)[None] * 50 - 1000)
    image.SetSpacing((0.25, 0.5, 1))
    sitk.WriteImage(image, str(ROOT / "itk.nrrd"), useCompression=True)
    expect("itk.nrrd", stretched(grey), [0.25, 0.5])


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir(parents=True)
    grey = picture()
    for make in [tiffs, pngs_and_jpegs, volumes]:
        make(grey)
    expected = {"picture": grey.astype(int).ravel().tolist(), "files": EXPECTED}
    (ROOT / "expected.json").write_text(json.dumps(expected) + "\n")
    size = sum(path.stat().st_size for path in ROOT.rglob("*") if path.is_file())
    print(f"{len(EXPECTED)} files, {size / 1024:.0f} KiB in {ROOT}")


if __name__ == "__main__":
    main()
