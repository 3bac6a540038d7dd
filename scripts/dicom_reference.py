"""DICOM files of many kinds and how pydicom shows them, for src/data/picture/dicom and src/data/picture/jpeg_ls.

    pip install pydicom numpy pillow imagecodecs pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg
    dicom_reference.py        writes scripts/dicom_reference.json and tests/fixtures/dicom again

Every entry holds a file (base64) and what pydicom makes of it: grey values from 0, black, to 255, white, unrounded, by
apply_modality_lut and apply_voi_lut (inverted here where the file says so), colours as luma of BT.709 of pydicom's RGB.
`tolerance` is in grey levels of 255: half a level of rounding, more where a decoder is free to differ.
"""

import base64
import io
import json
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, convert_color_space, pixel_array
from pydicom.uid import (ComputedRadiographyImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian,
                         ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless)

HEIGHT, WIDTH = 10, 12
ENTRIES = {}
PREFIX = "1.2.840.10008.1.2.4."
FUZZED = ["bare-implicit", "deflated", "htj2k-12", "jpeg-extended-12", "jpeg-lossless-1", "jpeg-ls-12", "jpeg2000-12",
          "modality-table-window", "palette-segments", "voi-table-short", "ybr-full-422"]


def picture(bits, signed=False):
    """Grey values that use all bits: a ramp with a bright and a dark corner."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    share = (x * 5 + y * 7) % 97 / 96
    share[0, 0], share[-1, -1] = 0, 1
    values = np.floor(share * (2**bits - 1) + 0.5).astype(int)
    if signed:
        values -= 2 ** (bits - 1)
    return values.astype(f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}")


def colours(bits=8):
    grey = picture(bits)
    return np.stack([grey, grey[::-1], grey[:, ::-1]], axis=-1)


def dataset(array, bits, photometric="MONOCHROME2", syntax=ExplicitVRLittleEndian, raw=None, **more):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ComputedRadiographyImageStorage, "1.2.3"
    meta.TransferSyntaxUID = syntax
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = ComputedRadiographyImageStorage, "1.2.3"
    data.Rows, data.Columns = array.shape[:2]
    data.SamplesPerPixel = 3 if array.ndim == 3 else 1
    data.PhotometricInterpretation = photometric
    data.BitsAllocated = array.dtype.itemsize * 8
    data.BitsStored, data.HighBit = bits, bits - 1
    data.PixelRepresentation = int(array.dtype.kind == "i")
    if array.ndim == 3:
        data.PlanarConfiguration = 0
    for key, value in more.items():
        setattr(data, key, value)
    data.PixelData = raw if raw is not None else array.tobytes()
    # Bytes, whatever the size, so that a byte of filling is allowed.
    if len(data.PixelData) % 2:
        data.PixelData += b"\0"
    return data


def saved(data):
    file = io.BytesIO()
    if data.file_meta.TransferSyntaxUID == ExplicitVRBigEndian:
        data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes() if data.BitsAllocated == 16 else data.PixelData
        pydicom.dcmwrite(file, data, little_endian=False, implicit_vr=False, enforce_file_format=True)
    else:
        pydicom.dcmwrite(file, data, enforce_file_format=True)
    return file.getvalue()


def output_range(data):
    """What apply_voi_lut's values lie between, black first, as pydicom has it."""
    if "VOILUTSequence" in data:
        return 0, 2 ** data.VOILUTSequence[0].LUTDescriptor[2] - 1
    if "ModalityLUTSequence" in data:
        return 0, 2 ** data.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    low = -(2 ** (data.BitsStored - 1)) if data.PixelRepresentation else 0
    ends = [v * float(data.get("RescaleSlope", 1)) + float(data.get("RescaleIntercept", 0)) for v in (low, low + 2**data.BitsStored - 1)]
    # A window's lower end becomes the first of them, even where the slope is negative; without, the lower one is black.
    return ends if "WindowCenter" in data else sorted(ends)


def add(name, data, inverted=None, shares=None, tolerance=0.51, raw=None):
    raw = raw if raw is not None else saved(data)
    if shares is None:
        read = pydicom.dcmread(io.BytesIO(raw), force=True)
        array = pixel_array(read)
        low, high = output_range(read)
        shares = (apply_voi_lut(apply_modality_lut(array, read), read).astype(float) - low) / (high - low)
        if inverted if inverted is not None else read.PhotometricInterpretation == "MONOCHROME1":
            shares = 1 - shares
    ENTRIES[name] = {"file": base64.b64encode(raw).decode(), "tolerance": tolerance,
                     "width": int(shares.shape[1]), "height": int(shares.shape[0]),
                     "greys": [round(float(v) * 255, 2) for v in shares.ravel()]}


def luma(rgb, white=255):
    return rgb.astype(float) @ [0.2126, 0.7152, 0.0722] / white


def table(first, entries, bits, vr="US"):
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries) % 65536, first, bits])
    item.add_new("LUTData", vr, list(map(int, entries)) if vr == "US" else np.asarray(entries, "<u2").tobytes())
    return [item]


def greys():
    for bits, signed in [(8, False), (8, True), (10, False), (12, False), (12, True), (14, False), (16, False), (16, True)]:
        add(f"plain-{bits}{'-signed' if signed else ''}", dataset(picture(bits, signed), bits))
    eight, twelve, sixteen = picture(8), picture(12), picture(16, True)
    add("negative-slope", dataset(eight, 8, RescaleSlope="-10", RescaleIntercept="3000"))
    add("negative-slope-window", dataset(eight, 8, RescaleSlope="-10", RescaleIntercept="3000", WindowCenter="1725", WindowWidth="2000"))
    add("negative-slope-monochrome1", dataset(twelve, 12, "MONOCHROME1", RescaleSlope="-1", RescaleIntercept="4095", WindowCenter="2000", WindowWidth="3000"))
    add("modality-table", dataset(eight, 8, ModalityLUTSequence=table(0, np.arange(256) ** 2, 16)))
    add("modality-table-window", dataset(twelve, 12, ModalityLUTSequence=table(100, 4000 - np.arange(3000), 16, "OW"), WindowCenter="2500", WindowWidth="1800"))
    for function in ["LINEAR", "LINEAR_EXACT", "SIGMOID"]:
        for center, width in [("2047.5", "1001"), ("900", "1")]:
            add(f"window-{function.lower()}-{width}", dataset(twelve, 12, WindowCenter=center, WindowWidth=width, VOILUTFunction=function))
    add("windows", dataset(sixteen, 16, WindowCenter=["100", "4000"], WindowWidth=["20000", "500"]))
    add("window-rescaled", dataset(picture(12, True), 12, RescaleSlope="0.5", RescaleIntercept="-100.25", WindowCenter="-60", WindowWidth="700"))
    add("voi-table", dataset(twelve, 12, VOILUTSequence=table(0, (np.arange(4096) / 4095) ** 2 * 4095, 12)))
    add("voi-table-short", dataset(twelve, 12, VOILUTSequence=table(700, np.linspace(1000, 30, 900), 10, "OW"), WindowCenter="9", WindowWidth="9"))
    add("voi-table-signed", dataset(picture(12), 12, RescaleSlope="1", RescaleIntercept="-1024", VOILUTSequence=table(-500, np.linspace(0, 1023, 2000), 10)))
    add("monochrome1", dataset(eight, 8, "MONOCHROME1"))
    add("monochrome1-window", dataset(twelve, 12, "MONOCHROME1", WindowCenter="1500", WindowWidth="2200"))
    add("monochrome1-inverse", dataset(twelve, 12, "MONOCHROME1", WindowCenter="1500", WindowWidth="2200", PresentationLUTShape="INVERSE"))
    add("monochrome2-identity", dataset(twelve, 12, WindowCenter="1500", WindowWidth="2200", PresentationLUTShape="IDENTITY"))
    add("monochrome2-inverse", dataset(twelve, 12, WindowCenter="1500", WindowWidth="2200", PresentationLUTShape="INVERSE"), inverted=True)
    # Bits of a sample that do not count hold an overlay; the reference is the picture without it.
    plain = dataset(twelve, 12, WindowCenter="1500", WindowWidth="2200")
    array = twelve | (twelve.astype("u2") % 2 << 12)
    add("overlay-in-high-bits", dataset(array, 12, WindowCenter="1500", WindowWidth="2200"), shares=shown(plain))
    high = dataset(twelve << 4, 12, WindowCenter="1500", WindowWidth="2200")
    high.HighBit = 15
    add("high-bit", high, shares=shown(plain))


def shown(data):
    low, high = output_range(data)
    array = np.frombuffer(data.PixelData, "<u2").reshape(data.Rows, data.Columns)
    return (apply_voi_lut(apply_modality_lut(array, data), data).astype(float) - low) / (high - low)


def paddings():
    window = {"WindowCenter": "1500", "WindowWidth": "2200"}
    for name, photometric, value, more in [("padding", "MONOCHROME2", 4095, {}), ("padding-monochrome1", "MONOCHROME1", 0, {}),
                                           ("padding-range", "MONOCHROME2", 4000, {"PixelPaddingRangeLimit": 4095})]:
        array = picture(12)
        array[:, :3] = value
        array[0, 0] = more.get("PixelPaddingRangeLimit", value)
        data = dataset(array, 12, photometric, PixelPaddingValue=value, **more, **window)
        shares = shown(data)
        shares = 1 - shares if photometric == "MONOCHROME1" else shares
        shares[(array >= value) & (array <= more.get("PixelPaddingRangeLimit", value))] = 0
        add(name, data, shares=shares)
    # Beyond the bits that count: 63536 is -2000 in 16 bits.
    array = picture(12)
    plain = shown(dataset(array, 12, **window))
    array[:, :3], plain[:, :3] = 63536, 0
    add("padding-beyond", dataset(array, 12, PixelPaddingValue=63536, **window), shares=plain)


def in_colour():
    rgb = colours()
    add("rgb", dataset(rgb, 8, "RGB"), shares=luma(rgb))
    planes = dataset(rgb, 8, "RGB", raw=rgb.transpose(2, 0, 1).tobytes())
    planes.PlanarConfiguration = 1
    add("rgb-planes", planes, shares=luma(rgb))
    deep = colours(12)
    add("rgb-12", dataset(deep, 12, "RGB"), shares=luma(deep, 4095))
    ybr = convert_color_space(rgb, "RGB", "YBR_FULL")
    back = luma(convert_color_space(ybr, "YBR_FULL", "RGB"))
    add("ybr-full", dataset(ybr, 8, "YBR_FULL"), shares=back, tolerance=1.5)
    shared = ybr.astype(int)
    shared[:, 1::2, 1:] = shared[:, ::2, 1:]
    shared = shared.astype("u1")
    raw = np.stack([shared[:, ::2, 0], shared[:, 1::2, 0], shared[:, ::2, 1], shared[:, ::2, 2]], axis=-1).tobytes()
    back = luma(convert_color_space(shared, "YBR_FULL", "RGB"))
    add("ybr-full-422", dataset(shared, 8, "YBR_FULL_422", raw=raw), shares=back, tolerance=1.5)
    data = dataset(ybr, 8, "YBR_FULL")
    data.compress(RLELossless)
    add("ybr-full-rle", data, shares=luma(convert_color_space(ybr, "YBR_FULL", "RGB")), tolerance=1.5)

    indices = picture(8)
    for name, bits, vr in [("palette", 16, "OW"), ("palette-8", 8, "OW")]:
        data = dataset(indices, 8, "PALETTE COLOR")
        top = 2**bits - 1
        for colour, entries in [("Red", np.arange(200) * top // 199), ("Green", (np.arange(200) ** 2) * top // 199**2), ("Blue", top - np.arange(200) * top // 199)]:
            setattr(data, f"{colour}PaletteColorLookupTableDescriptor", [200, 20, bits])
            setattr(data, f"{colour}PaletteColorLookupTableData", entries.astype("<u2" if bits == 16 else "u1").tobytes())
        add(name, data, shares=luma(apply_color_lut(indices, data), top))
    data = dataset(indices, 8, "PALETTE COLOR")
    for colour, end in [("Red", 65535), ("Green", 30000), ("Blue", 100)]:
        setattr(data, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(data, f"Segmented{colour}PaletteColorLookupTableData", np.asarray([0, 2, 0, 500, 1, 254, end], "<u2").tobytes())
    add("palette-segments", data, shares=luma(apply_color_lut(indices, data), 65535))


def compressed():
    window = {"WindowCenter": "1500", "WindowWidth": "2200"}

    def put(name, array, bits, syntax, frame, photometric="MONOCHROME2", tolerance=0.51, shares=None, **more):
        data = dataset(array, bits, photometric, PREFIX + syntax, encapsulate([frame]), **more)
        data["PixelData"].is_undefined_length = True
        add(name, data, tolerance=tolerance, shares=shares)

    eight, twelve, signed, rgb = picture(8), picture(12), picture(16, True), colours()
    buffer = io.BytesIO()
    Image.fromarray(eight).save(buffer, "JPEG", quality=95)
    put("jpeg-baseline", eight, 8, "50", buffer.getvalue(), tolerance=1.5)
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=95, subsampling=0)
    put("jpeg-ybr", rgb, 8, "50", buffer.getvalue(), "YBR_FULL_422", tolerance=2, shares=luma(np.asarray(Image.open(io.BytesIO(buffer.getvalue())))))
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=95, keep_rgb=True, subsampling=0)
    put("jpeg-rgb", rgb, 8, "50", buffer.getvalue(), "RGB", tolerance=2, shares=luma(np.asarray(Image.open(io.BytesIO(buffer.getvalue())))))
    extended = imagecodecs.jpeg8_encode(twelve, level=95, bitspersample=12)
    put("jpeg-extended-12", twelve, 12, "51", extended, tolerance=1.5, **window)
    for predictor in [1, 4, 7]:
        frame = imagecodecs.jpeg8_encode(twelve, lossless=True, predictor=predictor, bitspersample=12)
        put(f"jpeg-lossless-{predictor}", twelve, 12, "70" if predictor == 1 else "57", frame, **window)
    frame = imagecodecs.jpeg8_encode(signed.view("u2"), lossless=True, predictor=1, bitspersample=16)
    put("jpeg-lossless-16-signed", signed, 16, "70", frame)
    put("jpeg-ls-8", eight, 8, "80", imagecodecs.jpegls_encode(eight))
    put("jpeg-ls-12", twelve, 12, "80", imagecodecs.jpegls_encode(twelve), **window)
    put("jpeg-ls-16-signed", signed, 16, "80", imagecodecs.jpegls_encode(signed.view("u2")))
    put("jpeg-ls-near", twelve, 12, "81", imagecodecs.jpegls_encode(twelve, level=3), **window)
    put("jpeg-ls-rgb", rgb, 8, "80", imagecodecs.jpegls_encode(rgb), "RGB", shares=luma(rgb))
    for name, array, bits, code, more in [("8", eight, 8, "90", {}), ("12", twelve, 12, "90", window), ("16-signed", signed, 16, "90", {})]:
        put(f"jpeg2000-{name}", array, bits, code, imagecodecs.jpeg2k_encode(array, reversible=True, bitspersample=bits, codecformat="j2k"), **more)
    lossy = imagecodecs.jpeg2k_encode(twelve, level=70, reversible=False, bitspersample=12, codecformat="j2k")
    put("jpeg2000-lossy", twelve, 12, "91", lossy, tolerance=3, **window)
    put("jpeg2000-rgb", rgb, 8, "90", imagecodecs.jpeg2k_encode(rgb, reversible=True, codecformat="j2k"), "YBR_RCT", shares=luma(rgb))
    put("htj2k-12", twelve, 12, "201", imagecodecs.htj2k_encode(twelve, reversible=True), **window)
    for name, array, bits in [("rle-8", eight, 8), ("rle-16-signed", signed, 16)]:
        data = dataset(array, bits)
        data.compress(RLELossless)
        add(name, data)


def encodings():
    twelve = picture(12)
    window = {"WindowCenter": "1500", "WindowWidth": "2200"}
    for name, syntax in [("implicit", ImplicitVRLittleEndian), ("big-endian", ExplicitVRBigEndian), ("deflated", DeflatedExplicitVRLittleEndian)]:
        add(name, dataset(twelve, 12, syntax=syntax, VOILUTSequence=table(700, np.linspace(1000, 30, 900), 10)))
    explicit, implicit = saved(dataset(twelve, 12, **window)), saved(dataset(twelve, 12, syntax=ImplicitVRLittleEndian, **window))
    reference = shown(dataset(twelve, 12, **window))
    add("no-preamble", None, raw=explicit[128:], shares=reference)
    add("no-preamble-no-mark", None, raw=explicit[132:], shares=reference)
    add("no-mark", None, raw=explicit[:128] + explicit[132:], shares=reference)
    for name, file in [("bare-explicit", explicit), ("bare-implicit", implicit)]:
        length = int.from_bytes(file[140:144], "little")
        add(name, None, raw=file[144 + length :], shares=reference)


def jpeg_ls():
    """Pictures beside those in DICOM files: odd sizes, runs, few bits, all ways to interleave."""
    y, x = np.mgrid[:37, :53]
    entries = {}
    for bits in [2, 5, 8, 12, 16]:
        top = 2**bits - 1
        busy = ((x * 31 + y * 17 + x * y) % 23 / 22 * top).astype("u1" if bits <= 8 else "u2")
        calm = np.where((x - 25) ** 2 + (y - 18) ** 2 < 200, top, top // 5).astype(busy.dtype)
        calm[::9, ::7] = 0
        for kind, array in [("busy", busy), ("calm", calm)]:
            for near in [0, 1, 4] if bits > 5 else [0]:
                entries[f"{kind}-{bits}-{near}"] = jls(array, bits, near)
    return entries


def jls(array, bits, near):
    frame = imagecodecs.jpegls_encode(array, level=near)
    decoded = imagecodecs.jpegls_decode(frame)
    return {"file": base64.b64encode(frame).decode(), "sum": zlib.crc32(decoded.astype("<u2").tobytes()),
            "width": int(array.shape[1]), "height": int(array.shape[0])}


greys()
paddings()
in_colour()
compressed()
encodings()
reference = {"made_by": f"pydicom {pydicom.__version__}, imagecodecs {imagecodecs.__version__}", "files": ENTRIES, "jpeg_ls": jpeg_ls()}
path = Path(__file__).resolve().parent / "dicom_reference.json"
# What damaged files are made of, beside the fixtures of formats.
seeds = path.parent.parent / "tests/fixtures/dicom"
seeds.mkdir(exist_ok=True)
for name in FUZZED:
    (seeds / f"{name}.dcm").write_bytes(base64.b64decode(ENTRIES[name]["file"]))
path.write_text(json.dumps(reference, separators=(",", ":")).replace('},"', '},\n"') + "\n")
print(f"{path}: {path.stat().st_size / 1024:.0f} KiB, {len(ENTRIES)} files")
