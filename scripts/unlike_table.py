#!/usr/bin/env python3
"""Measures how often `sweep predict` calls images unlike those of the training: false alarms and changed images.

    python3 scripts/unlike_table.py SWEEP DATASET WORK

DATASET is a data-set folder; its images are dealt five times into 60 % to train on, 20 % to validate and 20 % that are held
back. WORK is an empty folder, in which five small networks are trained. Prints the table of src/guide/predict.md. Needs numpy
and pillow.
"""

import csv
import json
import pathlib
import random
import shutil
import subprocess
import sys

import numpy
from PIL import Image, ImageFilter

DEFINITION = """name = "unlike"
seeds = [0]
[trial]
epochs = 30
batch_size = 4
dataset = { name = "folder", path = "set" }
input = { height = 100, width = 80 }
heatmap = { name = "gaussian", sigma = 1.5 }
augment = { probability = 0.9, rotation_degrees = 10, translate = 0.05, scale = [0.9, 1.1], brightness = 0.3, contrast = 0.3 }
model = { name = "unet", filters = [8, 16, 32, 64] }
loss = { name = "nll" }
optimizer = { name = "adamw", lr = 2e-3 }
decode = { name = "subpixel" }
"""


def noisy(image):
    grey = numpy.asarray(image, float) + numpy.random.default_rng(0).normal(0, 40, image.size[::-1])
    return Image.fromarray(grey.clip(0, 255).astype("uint8"))


def part(image, share):
    width, height = image.size
    edge = (1 - share) / 2
    return image.crop((int(edge * width), int(edge * height), int((1 - edge) * width), int((1 - edge) * height)))


def photo(image):
    """A scene of coloured blobs and edges, as grey values: nothing of a radiograph."""
    width, height = image.size
    rng = numpy.random.default_rng(sum(image.resize((4, 4)).tobytes()))
    small = rng.integers(0, 255, (9, 7), dtype=numpy.uint8)
    scene = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    scene.paste(240, (width // 5, height // 2, width // 2, height - 40))
    return scene


CHANGES = [
    ("as it is", lambda i: i),
    ("three times the pixels", lambda i: i.resize((i.width * 3, i.height * 3), Image.Resampling.BICUBIC)),
    ("grey values inverted", lambda i: Image.eval(i, lambda v: 255 - v)),
    ("turned by 90°", lambda i: i.transpose(Image.Transpose.ROTATE_90)),
    ("turned by 180°", lambda i: i.transpose(Image.Transpose.ROTATE_180)),
    ("turned by 20°", lambda i: i.rotate(20)),
    ("mirrored", lambda i: i.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    ("its middle, 60 % of width and height", lambda i: part(i, 0.6)),
    ("its middle, 80 %", lambda i: part(i, 0.8)),
    ("an eighth of the pixels a side", lambda i: i.resize((i.width // 8, i.height // 8), Image.Resampling.BILINEAR)),
    ("blurred, 8 px", lambda i: i.filter(ImageFilter.GaussianBlur(8))),
    ("noise of 40 grey levels", noisy),
    ("a third as bright", lambda i: Image.eval(i, lambda v: v // 3)),
    ("gamma 2", lambda i: Image.eval(i, lambda v: int(255 * (v / 255) ** 2))),
    ("another scene", photo),
    ("blank", lambda i: Image.new("L", i.size, 128)),
]


def main():
    sweep, source, work = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]).absolute()
    rows = list(csv.reader((source / "landmarks.csv").open()))
    header, rows = rows[0], rows[1:]
    random.Random(0).shuffle(rows)
    split = header.index("split")
    counts = {name: [0, 0] for name, _ in CHANGES}
    named = {name: {} for name, _ in CHANGES}
    for fold in range(5):
        run = work / str(fold)
        shutil.copytree(source, run / "set")
        held = []
        for index, row in enumerate(rows):
            kind = (index + fold * len(rows) // 5) % len(rows) * 5 // len(rows)
            row[split] = "train" if kind < 3 else "val" if kind == 3 else "test"
            held += [row[0]] if kind == 4 else []
        with (run / "set/landmarks.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        (run / "unlike.toml").write_text(DEFINITION)
        subprocess.run([sweep, "run", "unlike.toml", "--quiet", "--jobs", "1", "--threads", "1"], cwd=run, check=True)
        checkpoint = next(run.glob("results/unlike/trials/*/best.safetensors"))
        for name, change in CHANGES:
            folder = run / "changed"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for image in held:
                change(Image.open(run / "set/images" / image).convert("L")).save(folder / (pathlib.Path(image).stem + ".png"))
            command = [sweep, "predict", "--checkpoint", checkpoint, folder, "--json", "--threads", "1"]
            lines = subprocess.run(command, cwd=run, check=True, capture_output=True, text=True).stdout.splitlines()
            for line in lines:
                found = json.loads(line)["out_of_distribution"]
                counts[name][0] += found["unlike"]
                counts[name][1] += 1
                for difference in found["differs"]:
                    named[name][difference["feature"]] = named[name].get(difference["feature"], 0) + 1
    for name, (unlike, all_images) in counts.items():
        most = sorted(named[name].items(), key=lambda item: -item[1])[:3]
        print(f"| {name} | {unlike} of {all_images} | {', '.join(f'{feature} {n}' for feature, n in most)} |")


main()
