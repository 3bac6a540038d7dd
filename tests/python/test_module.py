"""The Python module, as a user of the wheel meets it."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import landmark_sweep as ls
from conftest import DEFINITION


def test_a_plan_is_that_of_the_program(tmp_path: pathlib.Path) -> None:
    trials = ls.plan(DEFINITION)
    file = tmp_path / "tiny.toml"
    file.write_text(
        'name = "tiny"\nquestion = "Which loss?"\nseeds = [0]\n[axes]\n"loss.name" = ["l1", "mse"]\n[trial]\nepochs = 2\n'
        'batch_size = 2\ndataset = { name = "phantom", train = 4, val = 3, height = 40, width = 32 }\n'
        'input = { height = 40, width = 32 }\nmodel = { name = "unet", filters = [4, 8] }\n'
        'optimizer = { name = "adamw", lr = 2e-3 }\n'
    )
    assert [trial.id for trial in trials] == [trial.id for trial in ls.plan(file)]
    assert trials[0].axes == {"loss.name": "l1"} and trials[0].seed == 0
    assert trials[0].config["model"]["filters"] == [4, 8]
    listed = subprocess.run(["sweep", "plan", file, "--json"], check=True, capture_output=True, text=True)
    assert trials[0].id in listed.stdout


def test_every_mistake_of_a_definition_is_said(tmp_path: pathlib.Path) -> None:
    wrong = {**DEFINITION, "trial": {**DEFINITION["trial"], "epoch": 3, "batch_size": 0}}
    with pytest.raises(ls.SweepError) as error:
        ls.plan(wrong)
    assert "epochs" in str(error.value) and error.value.kind == "definition"
    with pytest.raises(ls.SweepError, match=r"missing\.toml"):
        ls.plan(tmp_path / "missing.toml")
    with pytest.raises(ls.SweepError, match="None"):
        ls.plan({**DEFINITION, "question": None})
    with pytest.raises(TypeError, match="dictionary"):
        ls.plan(3)  # type: ignore[arg-type]
    with pytest.raises(ls.SweepError, match="device"):
        ls.run(DEFINITION, results=tmp_path, device="gpu", progress=False)


def test_results_are_those_of_the_program(trained: ls.Results) -> None:
    assert trained.name == "tiny" and trained.question == "Which loss?"
    assert trained.trials["state"] == ["done", "done"]
    for name in ["trials", "summary", "epochs", "landmarks", "errors", "measures"]:
        table = getattr(trained, name)
        written = ["sweep", "export", "csv", trained.path, "--table", name]
        listed = subprocess.run(written, check=True, capture_output=True, text=True).stdout.splitlines()
        assert listed[0].split(",") == table.columns and len(listed) == 1 + len(table) > 1
    assert trained.trials["model.name"] == ["unet"] * 2 and trained.trials["epochs"] == [2, 2]
    assert trained.summary["loss.name"] == ["l1", "mse"]
    best = dict(zip(trained.summary["trial"], trained.summary["best_val_mre_mm"], strict=True))
    for trial, error in best.items():
        of_trial = [epoch["val_mre_mm"] for epoch in trained.epochs if epoch["trial"] == trial]
        assert error == min(of_trial)
    assert all(finding["sentence"] for finding in trained.findings) and trained.findings
    assert "Which loss?" in trained._repr_html_() and "<table>" in trained.epochs._repr_html_()
    assert os.path.exists(trained.report())
    with pytest.raises(KeyError, match="there are"):
        trained.epochs["nothing"]


def test_tables_are_data_frames(trained: ls.Results) -> None:
    pandas, polars = trained.epochs.to_pandas(), trained.epochs.to_polars()
    assert list(pandas.columns) == polars.columns == trained.epochs.columns
    for name in ["epoch", "train_loss", "val_mre_mm"]:
        np.testing.assert_array_equal(pandas[name], polars[name].to_numpy())


def test_another_folder_is_an_error_with_a_way_out(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ls.SweepError, match="no sweep"):
        ls.Results(tmp_path)


def test_epochs_are_reported_and_a_run_goes_on(tmp_path: pathlib.Path) -> None:
    whole = ls.run(DEFINITION, results=tmp_path / "whole", device="cpu", progress=False)
    seen: list[tuple[str, int]] = []

    def stop(epoch: dict[str, object]) -> None:
        seen.append((str(epoch["trial"]), int(str(epoch["epoch"]))))
        if len(seen) == 3:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        ls.run(DEFINITION, results=tmp_path / "parts", device="cpu", on_epoch=stop, progress=False)
    assert [epoch for _, epoch in seen] == [1, 2, 1]
    parts = ls.run(DEFINITION, results=tmp_path / "parts", device="cpu", progress=False)
    assert parts.epochs["train_loss"] == whole.epochs["train_loss"]
    assert parts.landmarks["x_pred"] == whole.landmarks["x_pred"]


def test_an_interrupt_saves(tmp_path: pathlib.Path) -> None:
    long = {**DEFINITION, "trial": {**DEFINITION["trial"], "epochs": 10000}}
    program = f"import landmark_sweep as ls; ls.run({long!r}, results={str(tmp_path)!r}, device='cpu', progress=False)"
    child = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    trials = tmp_path / "tiny" / "trials"
    until = time.monotonic() + 60
    while not list(trials.glob("*/epochs.csv")) and time.monotonic() < until:
        time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors and "Rust" not in errors and "panicked" not in errors
    state = json.loads(next(trials.glob("*/status.json")).read_text())
    assert state["state"] == "interrupted" and list(trials.glob("*/last.safetensors"))


def test_predictions_are_those_of_the_program(trained: ls.Results) -> None:
    checkpoint = next((pathlib.Path(trained.path) / "trials").glob("l1-*/best.safetensors"))
    image = next((pathlib.Path(trained.path) / "images").iterdir())
    predictor = ls.Predictor(checkpoint)
    found = predictor.predict(image)
    printed = subprocess.run(
        ["sweep", "predict", "--checkpoint", checkpoint, image, "--json"], check=True, capture_output=True, text=True
    ).stdout
    lines = json.loads(printed)["landmarks"]
    assert [line["landmark"] for line in lines] == found.names == predictor.landmarks
    assert [(line["x"], line["y"]) for line in lines] == list(zip(found.x, found.y, strict=True))
    assert found[found.names[0]] == (found.x[0], found.y[0]) and len(found) == len(lines)


def test_radii_are_those_of_the_program(trained: ls.Results, tmp_path: pathlib.Path) -> None:
    checkpoint = next((pathlib.Path(trained.path) / "trials").glob("l1-*/best.safetensors"))
    fresh, radii = tmp_path / "fresh", tmp_path / "radii.json"
    synth = ["--train", "1", "--val", "12", "--seed", "9", "--height", "40", "--width", "32"]
    subprocess.run(["sweep", "data", "synth", fresh, *synth], check=True)
    measured = ["--checkpoint", checkpoint, "--dataset", fresh, "--split", "val"]
    subprocess.run(["sweep", "eval", *measured, "--calibrate", radii], check=True)
    image = next((fresh / "images").iterdir())
    found = ls.Predictor(checkpoint, radii=radii).predict(image)
    printed = subprocess.run(
        ["sweep", "predict", "--checkpoint", checkpoint, image, "--radii", radii, "--json"],
        check=True, capture_output=True, text=True,
    ).stdout
    lines = json.loads(printed)["landmarks"]
    assert found.radius_unit == "mm" and all(radius is not None and radius > 0 for radius in found.radius)
    assert found.radius == [line["radius_90_mm"] for line in lines]
    without = ls.Predictor(checkpoint).predict(image)
    assert without.radius == [None] * len(without) and without.radius_unit is None
    assert without.overlay() != found.overlay(), "circles are drawn"
    assert "radius, mm" in found._repr_html_() and "radius, mm" not in without._repr_html_()
    other = next((pathlib.Path(trained.path) / "trials").glob("mse-*/best.safetensors"))
    with pytest.raises(ls.SweepError, match="not calibrated for"):
        ls.Predictor(other, radii=radii)


def test_a_batch_is_predicted_like_its_images(trained: ls.Results) -> None:
    checkpoint = next((pathlib.Path(trained.path) / "trials").glob("mse-*/best.safetensors"))
    files = sorted((pathlib.Path(trained.path) / "images").iterdir())
    images: list[object] = [*files, np.zeros((50, 60), np.uint8), np.zeros((44, 31, 3), np.uint8)]
    predictor = ls.Predictor(checkpoint, threads=1)
    single = [predictor.predict(image) for image in images]
    for size in [1, 2, 100]:
        batch = predictor.predict_batch(iter(images), batch_size=size)
        assert len(batch) == len(images) and [found.image for found in batch[: len(files)]] == files
        for one, other in zip(single, batch, strict=True):
            np.testing.assert_allclose(one.x, other.x, atol=1e-3)
            np.testing.assert_allclose(one.y, other.y, atol=1e-3)
    assert predictor.predict_batch([]) == []
    # The number of threads moves nothing.
    assert ls.Predictor(checkpoint, threads=3).predict(files[0]).x == single[0].x


def test_arrays_may_lie_in_memory_as_they_like(trained: ls.Results) -> None:
    predictor = ls.Predictor([next((pathlib.Path(trained.path) / "trials").glob("mse-*/best.safetensors"))])
    grey = (np.arange(48 * 40).reshape(48, 40) * 7 % 256).astype(np.uint8)
    first = predictor.predict(grey)
    for other in [np.asfortranarray(grey), np.repeat(grey, 2, axis=1)[:, ::2], np.stack([grey] * 3, axis=2)]:
        again = predictor.predict(other)
        np.testing.assert_allclose(first.x, again.x, atol=1e-6)
        np.testing.assert_allclose(first.y, again.y, atol=1e-6)
    for wrong in [grey.astype(np.float32), grey[None, None], np.zeros((0, 4), np.uint8), [[1, 2]]]:
        with pytest.raises(ls.SweepError, match="uint8"):
            predictor.predict(wrong)
    with pytest.raises(ls.SweepError, match="spacing"):
        predictor.predict(grey, spacing=(0.0, 1.0))
    with pytest.raises(ls.SweepError, match="no landmark"):
        first["nowhere"]


def record(folder: str, loss: str, seed: int) -> None:
    truth = np.stack([np.full((6, 4), 20.0), np.arange(24.0).reshape(6, 4)], axis=2)
    noise = np.random.default_rng(seed)
    with ls.Recorder(folder, "recorded", axes={"loss.name": loss}, seed=seed, question="Which loss?") as recorder:
        for epoch in range(4):
            scatter = (3.0 if loss == "l1" else 9.0) / (1 + epoch)
            predicted = truth + noise.normal(0, scatter, truth.shape)
            images = [f"{number}.png" for number in range(6)]
            recorder.epoch(1 / (1 + epoch), 1.2 / (1 + epoch), truth, predicted, images=images, spacing=0.5)


def test_trainings_of_other_programs_have_reports(tmp_path: pathlib.Path) -> None:
    jobs = [(str(tmp_path), loss, seed) for loss in ["l1", "mse"] for seed in range(3)]
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.starmap(record, jobs)
    results = ls.Results(tmp_path / "recorded")
    assert results.trials["state"] == ["done"] * 6 and sorted(set(results.trials["loss.name"])) == ["l1", "mse"]
    frame = results.errors.to_pandas()
    assert len(frame) == 6 * 4 * 6 * 4
    assert os.path.exists(results.report())
    baseline = tmp_path / "baseline.json"
    subprocess.run(["sweep", "baseline", results.path, "--output", baseline], check=True, capture_output=True)
    assert results.check(baseline)["verdict"] == "pass"


def test_errors_of_a_recorder_are_measured_as_numpy_does(tmp_path: pathlib.Path) -> None:
    rng = np.random.default_rng(3)
    truth, predicted = rng.uniform(0, 100, (5, 7, 2)), rng.uniform(0, 100, (5, 7, 2))
    truth[2, 3] = np.nan
    spacing = rng.uniform(0.1, 0.9, (5, 2))
    images = [f"{number}.png" for number in range(5)]
    with ls.Recorder(tmp_path, "numbers", axes={"a": 1}, seed=1) as recorder:
        error = recorder.epoch(1.0, 1.0, truth, predicted, images=images, spacing=spacing)
    distances = np.linalg.norm((truth - predicted) * spacing[:, None, :], axis=2)
    row = ls.Results(tmp_path / "numbers").epochs
    per_image = np.nanmean(distances)
    assert math.isclose(error, row["val_mre_mm"][0]) and math.isclose(error, float(per_image), rel_tol=1e-9)
    assert math.isclose(row["val_median_mm"][0], float(np.nanmedian(distances)), rel_tol=1e-9)


def test_a_recorder_refuses_what_cannot_be(tmp_path: pathlib.Path) -> None:
    truth = np.zeros((2, 3, 2))
    images = ["a.png", "b.png"]

    def begin(seed: int) -> ls.Recorder:
        return ls.Recorder(tmp_path, "wrong", axes={"a": 1}, seed=seed)

    with pytest.raises(ls.SweepError, match="shape"):
        begin(0).epoch(1, 1, truth[:, :, 0], truth, images=images)
    with pytest.raises(ls.SweepError, match=r"\[2, 3, 2\]"):
        begin(1).epoch(1, 1, truth, truth[:1], images=images)
    with pytest.raises(ls.SweepError, match="no position"):
        begin(2).epoch(1, 1, truth, np.full((2, 3, 2), np.nan), images=images)
    recorder = begin(3)
    recorder.epoch(1, 1, truth, truth, images=images)
    with pytest.raises(ls.SweepError, match="same validation images"):
        recorder.epoch(1, 1, truth, truth, images=["a.png", "c.png"])
    with pytest.raises(ls.SweepError, match="diverged"):
        recorder.epoch(float("nan"), 1, truth, truth, images=images)
    recorder.diverged("the loss is nan")
    states = ls.Results(tmp_path / "wrong").trials["state"]
    assert "diverged" in states
    with pytest.raises(ZeroDivisionError), begin(4) as failing:
        failing.epoch(1, 1, truth, truth, images=images)
        raise ZeroDivisionError("in the loop")
    assert "failed" in ls.Results(tmp_path / "wrong").trials["state"]


def test_a_data_set_is_read_as_arrays(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "phantoms"
    made = ["sweep", "data", "synth", folder, "--train", "3", "--val", "2", "--height", "40", "--width", "32"]
    subprocess.run(made, check=True, capture_output=True)
    data = ls.Dataset(folder)
    assert [len(data.samples(split)) for split in ("train", "val", "test")] == [3, 2, 0] and len(data.samples()) == 5
    sample = data.samples("val")[0]
    assert sample.pixels.shape == (40, 32) and sample.pixels.dtype == np.uint8
    assert sample.landmarks.shape == (len(data.landmarks), 2) and sample.spacing is not None
    assert not data.inspect()["spoilt"]
    with pytest.raises(ValueError, match="no split"):
        data.samples("validation")
    with pytest.raises(ls.SweepError):
        ls.Dataset(tmp_path).samples()


def test_arrays_become_a_data_set_that_can_be_trained_on(tmp_path: pathlib.Path) -> None:
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 255, (40 + index, 32), dtype=np.uint8) for index in range(6)]
    landmarks = rng.uniform(2, 30, (6, 3, 2)).round(3)
    landmarks[5, 1] = np.nan
    splits = ["train"] * 4 + ["val"] * 2
    data = ls.Dataset.from_arrays(
        tmp_path / "own", images, landmarks, splits=splits, spacing=(0.5, 0.25), landmark_names=["a", "b", "c"]
    )
    assert data.landmarks == ["a", "b", "c"] and [len(data.samples(split)) for split in ("train", "val")] == [4, 2]
    read = {sample.image: sample for sample in data.samples()}
    for index, (image, marks) in enumerate(zip(images, landmarks, strict=True)):
        sample = read[f"{index + 1:04d}.png"]
        assert (sample.pixels == image).all() and sample.spacing == (0.5, 0.25) and sample.split == splits[index]
        np.testing.assert_allclose(sample.landmarks, marks, atol=1e-6)
    trial = {
        **DEFINITION["trial"],
        "loss": {"name": "l1"},
        "dataset": {"name": "folder", "path": str(tmp_path / "own")},
    }
    definition = {**DEFINITION, "axes": {}, "trial": trial}
    results = ls.run(definition, results=tmp_path / "results", progress=False)
    assert results.trials["state"] == ["done"] and len(results.landmarks) > 0


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"splits": ["train", "vali"]}, "there is no split `vali`"),
        ({"splits": ["train"]}, "2 images, but 1 splits"),
        ({"images": [np.zeros((9, 9)), np.zeros((9, 9))]}, "float64 is no image of 8 bits"),
        ({"landmarks": np.full((2, 1, 2), 99.0)}, "outside the image"),
        ({"landmarks": np.zeros((1, 1, 2))}, "2 images and landmarks of 1"),
        ({"spacing": (0.0, 1.0)}, "is no size of a pixel"),
    ],
)
def test_arrays_that_are_no_data_set_are_refused(tmp_path: pathlib.Path, changed: dict[str, object], told: str) -> None:
    given = {
        "images": [np.zeros((9, 9), np.uint8)] * 2,
        "landmarks": np.ones((2, 1, 2)),
        "splits": ["train", "val"],
        **changed,
    }
    with pytest.raises((ls.SweepError, ValueError), match=told):
        ls.Dataset.from_arrays(tmp_path / "new", given.pop("images"), given.pop("landmarks"), **given)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()
