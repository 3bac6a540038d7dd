"""What is refused, and what is said of it."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import landmark_sweep as ls
from conftest import DEFINITION

TRIAL = DEFINITION["trial"]
GREY = np.zeros((40, 32), np.uint8)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"trails": 1}, "did you mean `trial`"),
        ({"trial": {**TRIAL, "epoch": 3}}, "key `trial.epoch`: unknown key `epoch`"),
        ({"trial": {**TRIAL, "epochs": "many"}}, "key `trial.epochs`"),
        ({"question": None}, "key `question`: None is no value of a definition"),
        ({"axes": {"loss.name": [None]}}, r"key `axes.loss.name\[0\]`: None is no value"),
        ({"trial": {**TRIAL, "epochs": object()}}, "key `trial.epochs`: object is no value of a definition"),
        ({"trial": {**TRIAL, "epochs": 2**70}}, "key `trial.epochs`: 1180591620717411303424 is too large"),
        ({3: "three"}, "the key 3 is no text"),
        ({"name": "../elsewhere"}, "not a folder's name"),
    ],
)
def test_a_definition_that_is_none(changed: dict[Any, Any], told: str) -> None:
    with pytest.raises(ls.SweepError, match=told) as error:
        ls.plan({**DEFINITION, **changed})
    assert error.value.kind == "definition" and error.value.remedy


def test_values_of_numpy_and_paths_are_values_of_a_definition(tmp_path: pathlib.Path) -> None:
    given = {**DEFINITION, "seeds": np.arange(2), "axes": {"optimizer.lr": np.array([1e-3, 2e-3])}}
    given["trial"] = {**TRIAL, "epochs": np.int64(3), "loss": {"name": "l1"}}
    trials = ls.plan(given)
    assert [trial.seed for trial in trials] == [0, 0, 1, 1] and trials[0].config["epochs"] == 3
    assert [trial.axes["optimizer.lr"] for trial in trials[:2]] == ["0.001", "0.002"]
    folder = {"name": "folder", "path": tmp_path / "none"}
    with pytest.raises(ls.SweepError, match="none"):
        ls.run({**DEFINITION, "trial": {**TRIAL, "dataset": folder}}, results=tmp_path, device="cpu", progress=False)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda folder: ls.plan(folder / "none.toml"), "name a TOML file"),
        (lambda folder: ls.plan("name = 'x'"), "or give a dictionary"),
        (lambda folder: ls.plan(folder), "name a TOML file"),
        (lambda folder: ls.Results(folder / "none"), "there is no sweep here"),
        (lambda folder: ls.Results(folder).trials, "help: name the folder"),
        (lambda folder: ls.Predictor(folder / "none.safetensors"), "name a best.safetensors"),
        (lambda folder: ls.Predictor([]), "a path, or a list of paths"),
        (lambda folder: ls.Dataset(folder).inspect(), "name the folder that holds dataset.toml"),
        (lambda folder: ls.Recorder(folder, "../up", axes={}, seed=0), "it names the folder under the results"),
        (lambda folder: ls.Recorder(folder, "a", axes={"a": None}, seed=0), "axes, key `a`: None"),
    ],
)
def test_a_folder_or_a_file_that_is_something_else(
    tmp_path: pathlib.Path, call: Callable[[pathlib.Path], object], told: str
) -> None:
    with pytest.raises(ls.SweepError, match=told):
        call(tmp_path)


def test_files_that_are_something_else(trained: ls.Results, tmp_path: pathlib.Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("something else")
    with pytest.raises(ls.SweepError, match="not a readable checkpoint"):
        ls.Predictor(other)
    with pytest.raises(ls.SweepError, match="make one with sweep baseline"):
        trained.check(other)
    with pytest.raises(ls.SweepError, match="make one with sweep baseline"):
        trained.check(tmp_path / "none.json")
    # A trial's folder is none of a sweep.
    with pytest.raises(ls.SweepError, match="there is no sweep here"):
        ls.Results(next((pathlib.Path(trained.path) / "trials").iterdir()))


@pytest.mark.parametrize("name", ["status.json", "epochs.csv", "trial.toml"])
def test_a_strangers_records_are_checked(trained: ls.Results, tmp_path: pathlib.Path, name: str) -> None:
    import shutil

    folder = tmp_path / "tiny"
    shutil.copytree(trained.path, folder)
    for file in folder.glob(f"trials/*/{name}"):
        file.write_bytes(b"\x00\xff{" * 100)
    for ask in (lambda: len(ls.Results(folder).summary), lambda: len(ls.Results(folder).findings)):
        with pytest.raises(ls.SweepError, match=name):
            ask()


def test_calls_that_cannot_be_meant(trained: ls.Results, tmp_path: pathlib.Path) -> None:
    predictor = ls.Predictor(next((pathlib.Path(trained.path) / "trials").glob("l1-*/best.safetensors")))
    with pytest.raises(ls.SweepError, match="is no size of a pixel"):
        predictor.predict(GREY, spacing=-0.1)
    with pytest.raises(ls.SweepError, match=r"images\[1\]: float64 is no image"):
        predictor.predict_batch([GREY, GREY.astype(float)])
    with pytest.raises(ls.SweepError, match="predict_batch"):
        predictor.predict(np.stack([GREY, GREY]))
    with pytest.raises(TypeError, match="predict takes one image"):
        predictor.predict_batch("image.png")
    with pytest.raises(ls.SweepError, match="batch_size is 0"):
        predictor.predict_batch([GREY], batch_size=0)
    with pytest.raises(ls.SweepError, match="threads is 0"):
        ls.Predictor(next((pathlib.Path(trained.path) / "trials").glob("*/best.safetensors")), threads=0)
    with pytest.raises(TypeError, match="a function of one argument"):
        ls.run(DEFINITION, results=tmp_path, on_epoch=3, progress=False)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
    with pytest.raises(ls.SweepError, match="2 names of landmarks, and positions of 1"):
        ls.Dataset.from_arrays(
            tmp_path / "new", [GREY] * 2, np.ones((2, 1, 2)), splits=["train", "val"], landmark_names=["a", "b"]
        )
    with pytest.raises(ls.SweepError, match=r"\[images, landmarks, 2\]"):
        ls.Dataset.from_arrays(tmp_path / "new", [GREY] * 2, np.ones((2, 2)), splits=["train", "val"])


def test_names_are_lists_of_texts(tmp_path: pathlib.Path) -> None:
    truth = np.zeros((1, 1, 2))
    with pytest.raises(ValueError, match="a whole number from 0"):
        ls.Recorder(tmp_path, "names", axes={"a": 1}, seed=-1)
    recorder = ls.Recorder(tmp_path, "names", axes={"a": 1}, seed=0)
    with pytest.raises(TypeError, match="images: a list of names, not the text"):
        recorder.epoch(1, 1, truth, truth, images="a")
    with pytest.raises(TypeError, match="landmarks: a list of names, each a text"):
        recorder.epoch(1, 1, truth, truth, images=["a"], landmarks=[3])  # type: ignore[list-item]
    # Paths name images as well.
    assert recorder.epoch(1, 1, truth, truth, images=[pathlib.Path("a.png")]) == 0
    recorder.close()
