#!/usr/bin/env python3
"""Draws how predictions move from epoch to epoch, from the records of a sweep that is trained for it, as an animated GIF.

    scripts/animate.py [--sweep target/release/sweep] [--definition experiments/animation.toml] [--output animation.gif]

The sweep is run with `epochs=1`, then `epochs=2`, and so on: each run goes on from the one before and records the predictions of
its last epoch. The definition must have a constant learning rate and one seed. Needs Pillow and Python 3.11.
"""

import argparse
import csv
import subprocess
import tempfile
import tomllib
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent.parent
FONTS = ROOT / "src/analysis/drawing/fonts"
#: The truth, and predictions, as in the report's overlays: the first configuration blue, the second orange.
TRUTH, PREDICTIONS = (0, 205, 90), [(60, 160, 225), (240, 120, 30)]
#: Pixels of the picture per pixel of the image, and its margins.
SCALE, HEAD, FOOT, GAP = 4, 62, 64, 16
#: Length of the animation.
SECONDS = 30


def rows(file):
    """The rows of a CSV file."""
    with open(file, newline="") as opened:
        return list(csv.DictReader(opened))


def epoch(sweep, definition, epochs, results):
    """Trains to this epoch; returns what the last epoch of each trial shows: name, loss, error, landmarks and pictures."""
    command = [sweep, "run", definition, "--set", f"epochs={epochs}", "--results", results, "--quiet"]
    # A trial that is worse than guessing, or not alone of its kind, is no failure here.
    subprocess.run(command, check=True, capture_output=True)
    [folder] = [file.parent for file in results.glob("*/sweep.toml")]
    found = []
    for trial in tomllib.loads((folder / "sweep.toml").read_text())["trials"]:
        about = tomllib.loads((folder / "trials" / trial / "trial.toml").read_text())
        last = rows(folder / "trials" / trial / "epochs.csv")[-1]
        if int(last["epoch"]) != epochs:
            raise SystemExit(f"{trial} has {last['epoch']} epochs, not {epochs}: is its learning rate constant?")
        landmarks = [row for row in rows(folder / "trials" / trial / "landmarks.csv") if row["selected"] == "last"]
        name = " · ".join(value for _, value in about["axes"])
        pictures = {image: folder / "images" / file for image, file in about["images"].items()}
        found.append((name, float(last["val_loss"]), float(last["val_mre_mm"]), landmarks, pictures))
    return found


def number(value):
    """A loss with three digits."""
    return f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def drawn(shown, epochs, first, image):
    """The picture of an epoch: each trial on the same image, with its loss and its error below."""
    plain, bold = (ImageFont.truetype(FONTS / f"DejaVuSans{kind}.ttf", size) for kind, size in [("", 17), ("-Bold", 20)])
    pictures = [Image.open(pictures[image]).convert("L") for *_, pictures in shown]
    width, height = (SCALE * side for side in pictures[0].size)
    frame = Image.new("RGB", (len(shown) * (width + GAP) + GAP, HEAD + height + FOOT), "white")
    draw = ImageDraw.Draw(frame)
    draw.text((GAP, 8), f"Epoch {epochs}", "black", bold)
    draw.text((GAP + 130, 11), "green: truth; filled: prediction", (90, 90, 90), plain)
    for at, ((name, loss, error, landmarks, _), picture) in enumerate(zip(shown, pictures)):
        left, top = GAP + at * (width + GAP), HEAD
        draw.text((left, HEAD - 26), f"loss {name}", PREDICTIONS[at % 2], bold)
        frame.paste(picture.resize((width, height), Image.Resampling.NEAREST), (left, top))

        def place(x, y):
            return left + SCALE * (float(x) + 0.5), top + SCALE * (float(y) + 0.5)

        for row in landmarks:
            if row["image"] != image:
                continue
            (x, y), (p, q) = place(row["x_true"], row["y_true"]), place(row["x_pred"], row["y_pred"])
            draw.line((x, y, p, q), PREDICTIONS[at % 2], 1)
            draw.ellipse((x - 6, y - 6, x + 6, y + 6), outline=TRUTH, width=2)
            draw.ellipse((p - 4, q - 4, p + 4, q + 4), PREDICTIONS[at % 2], "white")
        below = top + height + 8
        factor = first[at] / loss
        smaller = f", {factor:.1f} times smaller" if epochs > 1 else ""
        draw.text((left, below), f"loss {number(loss)}{smaller}", "black", plain)
        draw.text((left, below + 26), f"{error:.1f} mm off", "black", bold)
    return frame


def colours():
    """The palette: greys, and each colour as mixed with white and black at the edges of what is drawn."""
    greys = [(level,) * 3 for level in range(0, 256, 5)]
    mixed = [tuple(round(c + share * (end - c)) for c in colour) for colour in [TRUTH, *PREDICTIONS] for end in (0, 255)
             for share in (0, 0.33, 0.66)]
    return greys + mixed


def main():
    """Trains, draws and writes."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--sweep", default=str(ROOT / "target/release/sweep"))
    arguments.add_argument("--definition", type=Path, default=ROOT / "experiments/animation.toml")
    arguments.add_argument("--results", type=Path, help="where the sweep is kept; else it is removed")
    arguments.add_argument("--output", type=Path, default=Path("animation.gif"))
    told = arguments.parse_args()
    epochs = tomllib.loads(told.definition.read_text())["trial"]["epochs"]
    frames, first, image = [], None, None
    with tempfile.TemporaryDirectory() as folder:
        for number_of in range(1, epochs + 1):
            shown = epoch(told.sweep, told.definition, number_of, told.results or Path(folder))
            first = first or [loss for _, loss, *_ in shown]
            # The same image throughout: the first that was kept.
            image = image or min(set.intersection(*(set(pictures) for *_, pictures in shown)))
            frames.append(drawn(shown, number_of, first, image))
    palette = Image.new("P", (1, 1))
    palette.putpalette([channel for colour in colours() for channel in colour])
    indexed = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    # The last picture stays longer.
    step = int(1000 * SECONDS / (len(frames) + 3))
    durations = [step] * (len(frames) - 1) + [4 * step]
    indexed[0].save(told.output, save_all=True, append_images=indexed[1:], duration=durations, loop=0, optimize=True)
    print(f"{told.output}: {len(frames)} epochs, {told.output.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
