#!/usr/bin/env python3
"""Writes a folder of results as a sweep of many trials would leave it, to measure how commands grow with their number.

    scripts/fabricated_results.py FOLDER TRIALS [--seeds 2] [--epochs 60] [--images 30] [--landmarks 19]

Trials differ in loss, batch size and learning rate. Errors fall over the epochs to a level of each configuration, with noise of
the training, the image and the epoch. Needs NumPy. `src/guide/results.md` holds what was measured with it.
"""

import argparse
import hashlib
import json
import struct
import zlib
from pathlib import Path

import numpy as np

LOSSES = ["l1", "mse", "smooth-l1", "nll"]
EPOCHS = (
    "trial,seed,epoch,train_loss,val_loss,zero_loss,train_mre_mm,val_mre_mm,val_mre_px,val_sd_mm,val_median_mm,val_p95_mm,"
    "val_sdr_2mm,val_sdr_2_5mm,val_sdr_3mm,val_sdr_4mm,lr,images_per_second,seconds,train_mre_px,val_sd_px,val_median_px,"
    "val_p95_px,val_sdr_2px,val_sdr_4px,val_sdr_8px,val_sdr_16px,val_nme,val_pck_05,val_pck_10,val_pck_20"
)
LANDMARKS = (
    "trial,seed,epoch,selected,image,landmark,x_true,y_true,x_pred,y_pred,error_px,error_mm,confidence,reference_px"
)


def png(grey):
    """A grey picture as PNG."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = grey.shape
    rows = b"".join(b"\0" + row.tobytes() for row in grey)
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("trials", type=int)
    for name, default in [("seeds", 2), ("epochs", 60), ("images", 30), ("landmarks", 19)]:
        arguments.add_argument(f"--{name}", type=int, default=default)
    flags = arguments.parse_args()
    random = np.random.default_rng(0)
    images, marks = flags.images, flags.landmarks
    names = [f"{i:03}.png" for i in range(images)]
    landmarks = [f"l{i:02}" for i in range(marks)]
    pictures = flags.folder / "images"
    pictures.mkdir(parents=True)
    shown = {}
    for name in names:
        content = png(random.integers(60, 120, (600, 500), dtype=np.uint8))
        shown[name] = hashlib.sha256(content).hexdigest()[:16] + ".png"
        (pictures / shown[name]).write_bytes(content)
    truth = random.uniform(60, 440, (images, marks, 2))
    of_image = np.exp(random.normal(0, 0.25, (images, 1)))
    of_cell = np.exp(random.normal(0, 0.4, (images, marks)))

    batches = [1, 2, 4, 8, 16]
    rates = [f"{1e-5 * 1.02**i:.10g}" for i in range(-(-flags.trials // (flags.seeds * len(LOSSES) * len(batches))))]
    grid = [(loss, batch, lr) for lr in rates for batch in batches for loss in LOSSES]
    trials = [(seed, *point) for seed in range(flags.seeds) for point in grid][: flags.trials]
    data_set = hashlib.sha256(b"data").hexdigest()
    ids = []
    for seed, loss, batch, lr in trials:
        axes = [["loss.name", loss], ["batch_size", str(batch)], ["optimizer.lr", lr]]
        identity = hashlib.sha256(repr((seed, axes)).encode()).hexdigest()
        name = f"{loss}-{batch}-{lr}-seed{seed}-{identity[:8]}"
        ids.append(name)
        folder = flags.folder / "trials" / name
        folder.mkdir(parents=True)
        shown_toml = "\n".join(f'"{image}" = "{file}"' for image, file in shown.items())
        (folder / "trial.toml").write_text(
            f'trial = "{name}"\nidentity = "{identity}"\ndataset_hash = "{data_set}"\nmean_shape_mre_mm = 11.0\n'
            f"axes = {json.dumps(axes)}\n\n[images]\n{shown_toml}\n\n[config]\nepochs = {flags.epochs}\n"
            f"batch_size = {batch}\nevaluate_every = 1\nobjective = \"mre_mm\"\nseed = {seed}\n\n"
            f'[config.loss]\nname = "{loss}"\n\n[config.optimizer]\nname = "adamw"\nlr = {float(lr)!r}\n'
        )
        (folder / "status.json").write_text(
            json.dumps(
                {
                    "trial": name, "state": "done", "epoch": flags.epochs, "epochs": flags.epochs, "attempts": 1,
                    "parameters": 1766, "device": "cpu", "host": "host", "seconds": 60.0, "peak_memory_mib": 24.0,
                    "message": None,
                }
            )
        )
        level = 1.5 + 0.2 * LOSSES.index(loss) + 0.05 * batches.index(batch) + random.normal(0, 0.05)
        own = np.exp(random.normal(0, 0.1, (images, 1))) * of_image * of_cell * level
        errors, rows = [], [EPOCHS]
        for epoch in range(1, flags.epochs + 1):
            t = epoch / flags.epochs
            error = own * np.exp(random.normal(0, 0.2, (images, marks))) + 12 * np.exp(-8 * t)
            errors.append(error)
            mre = error.mean()
            val = 0.004 * (1 + 0.02 * random.normal() + 3 * np.exp(-6 * t) + 0.3 * max(0, t - 0.6))
            train = 0.003 * (1 + 0.02 * random.normal() + 3 * np.exp(-6 * t) - 0.3 * t)
            sdr = [100 * (error < radius).mean() for radius in (2, 2.5, 3, 4)]
            spread = [error.std(), np.median(error), np.percentile(error, 95)]
            pixels = [100 * (error < radius).mean() for radius in (2, 4, 8, 16)]
            values = [train, val, 0.02, 0.8 * mre, mre, mre, *spread, *sdr, float(lr), 400.0, 1.0, 0.8 * mre, *spread, *pixels]
            rows.append(f"{name},{seed},{epoch}," + ",".join(f"{v:.17g}" for v in values) + ",nan,nan,nan,nan")
        (folder / "epochs.csv").write_text("\n".join(rows) + "\n")
        header = json.dumps({"unit": "mm", "images": names, "landmarks": landmarks}).encode()
        with (folder / "errors.bin").open("wb") as file:
            file.write(b"SWEEPERR\x01" + struct.pack("<I", len(header)) + header)
            for epoch, error in enumerate(errors, 1):
                file.write(struct.pack("<I", epoch) + error.astype("<f2").tobytes())
        best = int(np.argmin([error.mean() for error in errors]))
        rows = [LANDMARKS]
        for selected, at in [("best-error", best), ("best-loss", flags.epochs // 2), ("last", flags.epochs - 1)]:
            turn = random.uniform(0, 2 * np.pi, (images, marks))
            confidence = random.uniform(0.3, 1, (images, marks))
            for i in range(images):
                for l in range(marks):
                    (x, y), error = truth[i, l], errors[at][i, l]
                    px, py = x + error * np.cos(turn[i, l]), y + error * np.sin(turn[i, l])
                    place = f"{name},{seed},{at + 1},{selected},{names[i]},{landmarks[l]}"
                    rows.append(f"{place},{x:.17g},{y:.17g},{px:.17g},{py:.17g},{error:.17g},{error:.17g},{confidence[i, l]:.6g},nan")
        (folder / "landmarks.csv").write_text("\n".join(rows) + "\n")
    axes = {"loss.name": LOSSES, "batch_size": batches, "optimizer.lr": [float(lr) for lr in rates]}
    definition = (
        f'name = "fabricated"\nseeds = {list(range(flags.seeds))}\n\n[axes]\n'
        + "\n".join(f'"{key}" = {json.dumps(values)}' for key, values in axes.items())
        + f"\n\n[trial]\nepochs = {flags.epochs}\n"
    )
    (flags.folder / "sweep.toml").write_text(
        f'name = "fabricated"\nseeds = {list(range(flags.seeds))}\ntrials = {json.dumps(ids)}\n'
        f'definition = """\n{definition}"""\n\n[provenance]\nversion = "0.1.0"\nhost = "host"\ndevice = "cpu"\n'
    )


if __name__ == "__main__":
    main()
