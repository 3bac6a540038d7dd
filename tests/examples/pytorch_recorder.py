"""A training loop in plain PyTorch whose records `sweep report` reads.

UNet++ is trained on phantom radiographs with three losses, three seeds each. Nothing here is trained by `sweep`: it draws the
phantoms, and `Recorder` writes after every epoch what the loop has measured.

    python pytorch_recorder.py --results results          # results/pytorch-recorder, with its report

Needs torch and safetensors beside landmark-sweep.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import landmark_sweep as ls
from landmark_sweep.pytorch_networks import UNetPlusPlus

SIGMA = 1.5  # width of the heatmaps' peaks, in pixels


def nll(maps: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross entropy of the softmax over all pixels of a map, against the target as a distribution."""
    target = target.flatten(2) / target.flatten(2).sum(2, keepdim=True)
    return -(target * maps.flatten(2).log_softmax(2)).sum(2).mean()


LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {"l1": F.l1_loss, "smooth-l1": F.smooth_l1_loss, "nll": nll}


def tensors(samples: list[ls.Sample]) -> tuple[torch.Tensor, torch.Tensor]:
    """Images `[N, 1, H, W]` from 0 to 1, and landmarks `[N, K, 2]` in pixels."""
    images = np.stack([sample.pixels for sample in samples])[:, None]
    landmarks = np.stack([sample.landmarks for sample in samples])
    return torch.from_numpy(images).float() / 255, torch.from_numpy(landmarks).float()


def heatmaps(landmarks: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """A peak of height 1 at every landmark: `[N, K, H, W]`."""
    x = torch.exp(-((torch.arange(width) - landmarks[..., :1]) ** 2) / (2 * SIGMA**2))
    y = torch.exp(-((torch.arange(height) - landmarks[..., 1:]) ** 2) / (2 * SIGMA**2))
    return y[..., :, None] * x[..., None, :]


def positions(maps: torch.Tensor, loss: str) -> torch.Tensor:
    """Where the maps say that the landmarks are: the centre of mass of the pixels around each peak, `[N, K, 2]`."""
    width = maps.shape[-1]
    weights = maps.flatten(2).softmax(2).view_as(maps) if loss == "nll" else maps.clamp(min=0)
    peak = maps.flatten(2).argmax(2)
    x, y = torch.arange(width), torch.arange(maps.shape[-2])
    near_x = (x - (peak % width)[..., None]).abs() <= 2
    near_y = (y - (peak // width)[..., None]).abs() <= 2
    # A map without any positive value has its peak alone.
    weights = weights * near_y[..., :, None] * near_x[..., None, :] + 1e-12 * F.one_hot(peak, maps[0, 0].numel()).view_as(maps)
    total = weights.sum((2, 3))
    return torch.stack([(weights.sum(2) * x).sum(2) / total, (weights.sum(3) * y).sum(2) / total], 2)


def train(data: ls.Dataset, loss: str, seed: int, epochs: int, recorder: ls.Recorder) -> None:
    torch.manual_seed(seed)
    criterion = LOSSES[loss]
    images, landmarks = tensors(data.samples("train"))
    shown = data.samples("val")
    val_images, truth = tensors(shown)
    height, width = images.shape[-2:]
    target, val_target = heatmaps(landmarks, height, width), heatmaps(truth, height, width)
    network = UNetPlusPlus(1, len(data.landmarks), [8, 16, 32, 64])
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    steps = -(-len(images) // 4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=epochs * steps)
    zero_loss = criterion(torch.zeros_like(val_target), val_target).item()
    for _ in range(epochs):
        network.train()
        losses = []
        for batch in torch.randperm(len(images)).split(4):
            optimizer.zero_grad()
            value = criterion(network(images[batch])[-1], target[batch])
            value.backward()
            optimizer.step()
            schedule.step()
            losses.append(value.item() * len(batch))
        network.eval()
        with torch.no_grad():
            maps = torch.cat([network(part)[-1] for part in val_images.split(8)])
        recorder.epoch(
            sum(losses) / len(images),
            criterion(maps, val_target).item(),
            truth,
            positions(maps, loss),
            images=[sample.image for sample in shown],
            landmarks=data.landmarks,
            spacing=np.array([sample.spacing for sample in shown]),
            patients=[sample.patient or sample.image for sample in shown],
            zero_loss=zero_loss,
            lr=float(schedule.get_last_lr()[0]),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train", type=int, default=32, help="training images")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        phantoms = Path(folder) / "phantoms"
        size = ["--train", str(arguments.train), "--val", "24", "--height", "100", "--width", "80"]
        subprocess.run(["sweep", "data", "synth", phantoms, *size], check=True)
        data = ls.Dataset(phantoms)
        for loss in LOSSES:
            for seed in range(arguments.seeds):
                question = "Does the smaller loss find the landmarks better, in PyTorch?"
                with ls.Recorder(
                    arguments.results,
                    "pytorch-recorder",
                    axes={"loss.name": loss},
                    seed=seed,
                    question=question,
                    epochs=arguments.epochs,
                    device=f"torch {torch.__version__}",
                ) as recorder:
                    train(data, loss, seed, arguments.epochs, recorder)
                    print(f"{loss}, seed {seed}: recorded as {recorder.trial}")
    print(ls.Results(arguments.results / "pytorch-recorder").report())


if __name__ == "__main__":
    main()
