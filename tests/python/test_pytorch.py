"""What needs PyTorch. Skipped where it is absent, unless `SWEEP_NEED_TORCH` is `required`."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

import landmark_sweep as ls

EXAMPLE = pathlib.Path(__file__).parent.parent / "examples" / "pytorch_recorder.py"

if os.environ.get("SWEEP_NEED_TORCH") != "required":
    pytest.importorskip("torch", reason="PyTorch is not installed")
import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402


def test_a_checkpoint_is_a_module_of_pytorch(trained: ls.Results, tmp_path: pathlib.Path) -> None:
    import landmark_sweep.torch

    checkpoint = next((pathlib.Path(trained.path) / "trials").glob("l1-*/best.safetensors"))
    image = next((pathlib.Path(trained.path) / "images").iterdir())
    maps = ["sweep", "predict", "--checkpoint", checkpoint, image, "--heatmaps", tmp_path / "maps"]
    subprocess.run(maps, check=True, capture_output=True)
    tensors = load_file(next((tmp_path / "maps").iterdir()))
    network = landmark_sweep.torch.load(checkpoint)
    with torch.no_grad():
        found = network(tensors["image"])[-1]
    assert (found - tensors["heatmaps"]).abs().max().item() < 1e-4


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
