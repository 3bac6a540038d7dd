#!/usr/bin/env python3
"""Measures how often `sweep predict` calls images unlike those of the training: false alarms and changed images.

    python3 scripts/unlike_table.py SWEEP DATASET WORK

DATASET is a data-set folder; its images are dealt five times into 60 % to train on, 20 % to validate and 20 % that are held
back. WORK is an empty folder, in which five small networks are trained. Prints the table of src/guide/predict.md, in less than
ten minutes of one core. Needs numpy and pillow.
"""

import collections
import csv
import json
import pathlib
import random
import shutil
import subprocess
import sys
import time

import numpy
from PIL import Image, ImageFilter

FOLDS = 5
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


def interval(hits, trials):
    """The 95 % interval of a share (Wilson 1927, "Probable inference, the law of succession, and statistical inference")."""
    z = 1.959964
    share, spread = hits / trials, z * z / trials
    middle = share + spread / 2
    half = z * (share * (1 - share) / trials + spread / trials / 4) ** 0.5
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def train(sweep, run, source, rows, header, fold):
    """A network of three fifths of the images, validated on one; returns its checkpoint and the images held back."""
    shutil.copytree(source, run / "set")
    split, held = header.index("split"), []
    for index, row in enumerate(rows):
        kind = (index + fold * len(rows) // FOLDS) % len(rows) * 5 // len(rows)
        row[split] = "train" if kind < 3 else "val" if kind == 3 else "test"
        held += [row[0]] if kind == 4 else []
    with (run / "set/landmarks.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    (run / "unlike.toml").write_text(DEFINITION)
    subprocess.run([sweep, "run", "unlike.toml", "--quiet", "--jobs", "1", "--threads", "1"], cwd=run, check=True)
    return next(run.glob("results/unlike/trials/*/best.safetensors")), held


def judge(sweep, run, checkpoint, held):
    """What `sweep predict` says of every changed image: (change, judgement)."""
    folder = run / "changed"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for image in held:
        plain = Image.open(run / "set/images" / image).convert("L")
        for number, (_, change) in enumerate(CHANGES):
            # One call reads all images, and a BMP needs no time to compress.
            change(plain).save(folder / f"{number:02}-{pathlib.Path(image).stem}.bmp")
    command = [sweep, "predict", "--checkpoint", checkpoint, folder, "--json", "--threads", "1"]
    lines = subprocess.run(command, cwd=run, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    shutil.rmtree(folder)
    found = [json.loads(line) for line in lines.splitlines()]
    assert len(found) == len(held) * len(CHANGES), f"{len(found)} images judged"
    return [(int(pathlib.Path(one["image"]).name[:2]), one["out_of_distribution"]) for one in found]


def main():
    sweep, source, work = pathlib.Path(sys.argv[1]).absolute(), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]).absolute()
    rows = list(csv.reader((source / "landmarks.csv").open()))
    header, rows = rows[0], rows[1:]
    random.Random(0).shuffle(rows)
    unlike = [0] * len(CHANGES)
    total = [0] * len(CHANGES)
    named = [collections.Counter() for _ in CHANGES]
    for fold in range(FOLDS):
        begun = time.monotonic()
        run = work / str(fold)
        checkpoint, held = train(sweep, run, source, rows, header, fold)
        trained = time.monotonic()
        for change, found in judge(sweep, run, checkpoint, held):
            unlike[change] += found["unlike"]
            total[change] += 1
            named[change].update(difference["feature"] for difference in found["differs"])
        spent = f"{trained - begun:.0f} s to train, {time.monotonic() - trained:.0f} s to judge"
        print(f"network {fold + 1} of {FOLDS}: {spent}", file=sys.stderr, flush=True)
    print("| image | called unlike | 95 % interval | by confidence | by what most |\n|---|---|---|---|---|")
    for (name, _), hits, all_images, features in zip(CHANGES, unlike, total, named):
        low, high = interval(hits, all_images)
        most = ", ".join(f"{feature} {count}" for feature, count in features.most_common(3))
        print(f"| {name} | {hits} of {all_images} | {100 * low:.1f} to {100 * high:.1f} % | {features['confidence']} | {most} |")


main()
