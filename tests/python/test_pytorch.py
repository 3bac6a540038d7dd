"""What needs PyTorch. Skipped where it is absent, unless `SWEEP_NEED_TORCH` is `required`."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest

import landmark_sweep as ls

EXAMPLE = pathlib.Path(__file__).parent.parent / "examples" / "pytorch_recorder.py"

if os.environ.get("SWEEP_NEED_TORCH") != "required":
    pytest.importorskip("torch", reason="PyTorch is not installed")
import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402


# Every network that a definition can name, small.
UNET = {"filters": [3, 5]}
RESNET = {"filters": [4, 6, 18], "decoder": [18, 6, 5, 4]}
EFFICIENTNET = {"width": 0.05, "depth": 0.3, "decoder": [8, 6, 5, 4, 3]}
HRNET = {"width": 3, "modules": [1, 1, 2], "blocks": 1, "stem": 3}
NETWORKS: dict[str, dict[str, Any]] = {
    "unet++": UNET,
    "unet": UNET,
    "attention-unet": UNET,
    "unet-resnet18": RESNET,
    "unet-resnet34": RESNET,
    "unet-efficientnet-lite0": EFFICIENTNET,
    "unet-efficientnet-lite1": EFFICIENTNET,
    "unet-efficientnet-lite2": EFFICIENTNET,
    "unet-efficientnet-b0": EFFICIENTNET,
    "unet-efficientnet-b1": EFFICIENTNET,
    "unet-efficientnet-b2": EFFICIENTNET,
    "hrnet-w18": HRNET,
    "hrnet-w32": HRNET,
    "deeplabv3+": {"filters": [4, 6], "decoder_channels": 16, "low_level_channels": 3, "atrous_rates": [1, 2]},
}


def test_every_network_is_a_module_of_pytorch(definition: dict[str, Any], tmp_path: pathlib.Path) -> None:
    import landmark_sweep.torch

    listed = subprocess.run(["sweep", "models", "--json"], check=True, capture_output=True, text=True).stdout
    assert {network["name"] for network in json.loads(listed)} == set(NETWORKS), "a network is left out"
    models = [{"name": name, **settings} for name, settings in NETWORKS.items()]
    models.append({"name": "unet", **UNET, "upsampling": "transposed"})
    coarse, fine = {"name": "unet", **UNET}, {"name": "unet++", **UNET}
    models.append({"name": "two-stage", "coarse": coarse, "fine": fine, "crop": 16})
    trial = {key: value for key, value in definition["trial"].items() if key != "model"} | {"loss": {"name": "mse"}, "epochs": 1}
    results = ls.run(
        {"name": "networks", "axes": {"model": models}, "trial": trial}, results=tmp_path, device="cpu", progress=False
    )
    image = next((pathlib.Path(results.path) / "images").iterdir())
    trials = list(results.trials)
    assert len(trials) == len(models)
    for trial in trials:
        checkpoint = pathlib.Path(results.path) / "trials" / trial["trial"] / "best.safetensors"
        maps = tmp_path / trial["trial"]
        written = ["sweep", "predict", "--checkpoint", checkpoint, image, "--heatmaps", maps]
        subprocess.run(written, check=True, capture_output=True)
        tensors = load_file(next(maps.iterdir()))
        network = landmark_sweep.torch.load(checkpoint)
        stages = dict(network.items()) if isinstance(network, torch.nn.ModuleDict) else {"": network}
        assert len(stages) == (2 if trial["model.name"] == "two-stage" else 1)
        for stage, module in stages.items():
            prefix = f"{stage}." if stage else ""
            with torch.no_grad():
                found = module(tensors[f"{prefix}image"])[-1]
            assert (found - tensors[f"{prefix}heatmaps"]).abs().max().item() < 1e-4, (trial["model.name"], stage)


def test_the_example_of_the_recorder_writes_a_report(tmp_path: pathlib.Path) -> None:
    small = ["--results", tmp_path, "--epochs", "3", "--seeds", "1", "--train", "8"]
    subprocess.run([sys.executable, EXAMPLE, *small], check=True)
    results = ls.Results(tmp_path / "pytorch-recorder")
    assert results.trials["loss.name"] == ["l1", "smooth-l1", "nll"] and results.trials["state"] == ["done"] * 3
    assert results.epochs["epoch"] == [1, 2, 3] * 3 and len(results.landmarks) >= 3 * 24
    assert (pathlib.Path(results.path) / "report" / "index.html").exists()
    # The losses go down; what is recorded is what was trained.
    for first, last in zip(results.epochs["train_loss"][::3], results.epochs["train_loss"][2::3], strict=True):
        assert last < first
