"""A small sweep that has been trained, for the tests."""

from __future__ import annotations

from typing import Any

import pytest

import landmark_sweep as ls

DEFINITION: dict[str, Any] = {
    "name": "tiny",
    "question": "Which loss?",
    "seeds": [0],
    "axes": {"loss.name": ["l1", "mse"]},
    "trial": {
        "epochs": 2,
        "batch_size": 2,
        "dataset": {"name": "phantom", "train": 4, "val": 3, "height": 40, "width": 32},
        "input": {"height": 40, "width": 32},
        "model": {"name": "unet", "filters": [4, 8]},
        "optimizer": {"name": "adamw", "lr": 2e-3},
    },
}


@pytest.fixture
def definition() -> dict[str, Any]:
    return DEFINITION


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ls.Results:
    return ls.run(DEFINITION, results=tmp_path_factory.mktemp("results"), device="cpu", progress=False)
