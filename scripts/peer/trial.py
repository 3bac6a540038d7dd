"""A landmark trial as a careful PyTorch user writes it; train.py is its command.

Images and targets are read once by every process and stay in memory for all of its trials. Every epoch is evaluated in
millimetres, added to epochs.csv and saved, so that a trial goes on after its last whole epoch.
"""

import csv
import functools
import os
import sys
import time
import tomllib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from pytorch_networks import build

EVALUATED = 16  # images in a batch of an evaluation


class Split(NamedTuple):
    images: torch.Tensor  # [N, 1, H, W], from 0 to 1
    landmarks: torch.Tensor  # [N, K, 2], x and y in pixels of the input
    targets: torch.Tensor  # [N, K, H, W]
    mm: torch.Tensor  # [N, 2], millimetres of a pixel of the input


def heatmaps(landmarks, height, width, sigma):
    """Gaussians that are 1 at the landmarks."""
    fall = lambda places, size: torch.exp(-((places[..., None] - torch.arange(size)) ** 2) / (2 * sigma**2))
    return fall(landmarks[..., 1], height)[..., None] * fall(landmarks[..., 0], width)[..., None, :]


@functools.cache
def splits(folder, height, width, sigma, channels_last):
    """Training and validation images of a data-set folder."""
    folder = Path(folder)
    about = tomllib.loads((folder / "dataset.toml").read_text())
    spacing = np.array([about["spacing_mm"]["x"], about["spacing_mm"]["y"]])
    found = {"train": [], "val": []}
    with open(folder / about["landmarks"], newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] not in found:
                continue
            names = [key[:-2] for key in row if key.endswith("_x") and key != "spacing_x"]
            with Image.open(folder / about["images"] / row["image"]) as picture:
                original = np.array(picture.size)
                grey = np.asarray(picture.convert("F").resize((width, height), Image.Resampling.BILINEAR)) / 255
            scale = np.array([width, height]) / original
            landmarks = np.array([[float(row[f"{name}_{axis}"]) for axis in "xy"] for name in names])
            found[row["split"]].append((grey[None], (landmarks + 0.5) * scale - 0.5, spacing / scale))
    form = torch.channels_last if channels_last else torch.contiguous_format

    def split(samples):
        images, landmarks, mm = (torch.from_numpy(np.stack(part)).float() for part in zip(*samples))
        targets = heatmaps(landmarks, height, width, sigma)
        return Split(images.contiguous(memory_format=form), landmarks, targets.contiguous(memory_format=form), mm)

    return split(found["train"]), split(found["val"])


def nll(maps, targets):
    """Cross-entropy of a softmax over all places and the target as a probability."""
    logarithms = F.log_softmax(maps.flatten(2), dim=-1)
    targets = targets.flatten(2)
    return -(logarithms * (targets / targets.sum(-1, keepdim=True))).sum(-1).mean()


LOSSES = {"nll": nll, "mse": F.mse_loss}


def centroid(maps, threshold, logits):
    """Mean position of the pixels of at least a share of the maximum, [B, K, 2]."""
    highest = maps.amax((2, 3), keepdim=True)
    if logits:
        least = highest + torch.log(torch.tensor(threshold))
    else:
        least = torch.where(highest > 0, threshold * highest, highest)
    inside = (maps >= least).float()
    count = inside.sum((2, 3))
    x = (inside.sum(2) @ torch.arange(maps.shape[3], dtype=torch.float)) / count
    y = (inside.sum(3) @ torch.arange(maps.shape[2], dtype=torch.float)) / count
    return torch.stack([x, y], -1)


@torch.inference_mode()
def evaluate(network, val, loss, config):
    network.eval()
    losses, errors = [], []
    for begin in range(0, len(val.images), EVALUATED):
        images, landmarks, targets, mm = (part[begin : begin + EVALUATED] for part in val)
        maps = network(images)[-1]
        losses.append(loss(maps, targets).item() * len(images))
        off = (centroid(maps, config.threshold, config.loss == "nll") - landmarks) * mm[:, None]
        errors.append(off.norm(dim=-1))
    network.train()
    return sum(losses) / len(val.images), torch.cat(errors).mean().item()


def save(state, path):
    """Whole or not at all: a kill leaves the file of the epoch before."""
    torch.save(state, f"{path}.new")
    os.replace(f"{path}.new", path)


def train(config, folder):
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    data, val = splits(config.data, config.height, config.width, config.sigma, config.channels_last)
    model = OmegaConf.to_container(config.model)
    network = build({"model": model, "channels": 1, "landmarks": data.landmarks.shape[1]})
    if config.channels_last:
        network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)
    forward = torch.compile(network) if config.compile else network
    loss = LOSSES[config.loss]
    order = torch.Generator().manual_seed(config.seed)
    rows = []
    last = folder / "last.pt"
    if last.exists():
        state = torch.load(last)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        order.set_state(state["order"])
        rows = state["rows"]
    for epoch in range(len(rows) + 1, config.epochs + 1):
        began, total = time.perf_counter(), 0.0
        for batch in torch.randperm(len(data.images), generator=order).split(config.batch_size):
            optimizer.zero_grad()
            value = loss(forward(data.images[batch])[-1], data.targets[batch])
            value.backward()
            optimizer.step()
            total += value.item() * len(batch)
        val_loss, mre = evaluate(forward, val, loss, config)
        best = min((row["val_mre_mm"] for row in rows), default=float("inf"))
        rows.append({"epoch": epoch, "train_loss": total / len(data.images), "val_loss": val_loss, "val_mre_mm": mre,
                     "seconds": time.perf_counter() - began})
        with open(folder / "epochs.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        if mre < best:
            save(network.state_dict(), folder / "best.pt")
        save({"network": network.state_dict(), "optimizer": optimizer.state_dict(), "order": order.get_state(), "rows": rows}, last)
    (folder / "done").touch()
