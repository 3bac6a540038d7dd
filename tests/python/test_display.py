"""What notebooks show."""

from __future__ import annotations

import base64
import html.parser
import pathlib
import subprocess
from typing import Any

import numpy as np
import pytest

import landmark_sweep as ls

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&`"
# What may stand in what is shown: no other element, and no other attribute.
ELEMENTS = {
    "h3", "p", "div", "span", "ul", "li", "em", "code", "details", "summary", "img",
    "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
ATTRIBUTES = {"style", "alt", "src"}


class Page(html.parser.HTMLParser):
    """Elements, text and pictures of a page that is well formed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.pictures: list[bytes] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ELEMENTS and {name for name, _ in attrs} <= ATTRIBUTES, (tag, attrs)
        if tag != "img":
            self.open.append(tag)
            return
        kind, _, content = (dict(attrs)["src"] or "").partition(",")
        assert kind == "data:image/png;base64"
        self.pictures.append(base64.b64decode(content, validate=True))
        assert self.pictures[-1].startswith(b"\x89PNG")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(value: Any) -> Page:
    return Page(value._repr_html_())


def test_results_show_question_figure_findings_and_trials(trained: ls.Results) -> None:
    page = shown(trained)
    assert "Which loss?" in page.text and len(page.pictures) == 1
    assert "loss.name" in page.text and "mse" in page.text and "best_val_mre_mm" in page.text
    said = [finding["sentence"] for finding in trained.findings if finding["sentence"]]
    assert said[0].replace("`", "") in page.text.replace("`", "")
    assert len(trained._repr_html_()) < 600_000


def test_a_finding_shows_its_verdict_and_what_it_rests_on(trained: ls.Results) -> None:
    for finding in trained.findings:
        page = shown(finding)
        assert finding["sentence"].replace("`", "") in page.text.replace("`", "")
        assert finding["verdict"].replace("-", " ") in page.text and finding["id"] in page.text
        assert finding["p_adjusted"] is None or "corrected for" in page.text
    assert shown(trained.findings).text
    assert shown(trained.epochs).text.count("l1") >= 2


def test_a_prediction_shows_its_landmarks_on_the_image(trained: ls.Results, tmp_path: pathlib.Path) -> None:
    predictor = ls.Predictor(next((pathlib.Path(trained.path) / "trials").glob("l1-*/best.safetensors")))
    image = next((pathlib.Path(trained.path) / "images").iterdir())
    found = predictor.predict(image)
    page = shown(found)
    assert page.pictures == [found.overlay()] and all(name in page.text for name in found.names)
    assert image.name in page.text and found.image == image
    for array in [np.zeros((50, 60), np.uint8), np.zeros((50, 60, 3), np.uint8)]:
        assert len(shown(predictor.predict(array)).pictures) == 1
    moved = tmp_path / "moved.png"
    moved.write_bytes(image.read_bytes())
    found = predictor.predict(moved)
    moved.unlink()
    page = shown(found)
    assert not page.pictures and "cannot be shown" in page.text and found.names[0] in page.text


def test_what_is_drawn_is_what_the_program_draws(trained: ls.Results, tmp_path: pathlib.Path) -> None:
    checkpoint = next((pathlib.Path(trained.path) / "trials").glob("l1-*/best.safetensors"))
    image = next((pathlib.Path(trained.path) / "images").iterdir())
    drawing = ["sweep", "predict", "--checkpoint", checkpoint, image, "--overlay", tmp_path]
    subprocess.run(drawing, check=True, capture_output=True)
    assert next(tmp_path.glob("*.png")).read_bytes() == ls.Predictor(checkpoint).predict(image).overlay()


def hostile_results(folder: pathlib.Path) -> ls.Results:
    truth = np.array([[[10.0, 12.0], [30.0, 8.0]], [[11.0, 13.0], [29.0, 9.0]]])
    for value in [HOSTILE, "l1"]:
        for seed in range(2):
            with ls.Recorder(folder, "mine", axes={"loss.name": value}, seed=seed, question=HOSTILE) as recorder:
                for epoch in range(3):
                    predicted = truth + (seed + 1) / (1 + epoch)
                    images, landmarks = [f"{HOSTILE}.png".replace("/", "_"), "b.png"], [HOSTILE, "b"]
                    recorder.epoch(0.3, 0.4, truth, predicted, images=images, landmarks=landmarks, spacing=0.1)
    return ls.Results(folder / "mine")


def test_names_of_strangers_are_text(tmp_path: pathlib.Path) -> None:
    results = hostile_results(tmp_path)
    tables = [results.trials, results.summary, results.epochs, results.landmarks, results.errors]
    # `Page` refuses every element, attribute and source that is not ours.
    for value in [results, results.findings, *results.findings, *tables]:
        assert shown(value).text
    assert HOSTILE in shown(results).text
    assert any(HOSTILE in shown(finding).text for finding in results.findings)
    assert all(HOSTILE in shown(table).text for table in tables)


def test_names_of_landmarks_and_images_are_text(tmp_path: pathlib.Path, definition: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 255, (40, 32), dtype=np.uint8) for _ in range(5)]
    name = "<img src=x onerror=alert(2)>"
    ls.Dataset.from_arrays(
        tmp_path / "own", images, rng.uniform(4, 28, (5, 2, 2)), splits=["train"] * 3 + ["val"] * 2, landmark_names=[name, "b"]
    )
    trial = {**definition["trial"], "loss": {"name": "l1"}, "dataset": {"name": "folder", "path": str(tmp_path / "own")}}
    results = ls.run({**definition, "axes": {}, "trial": trial}, results=tmp_path / "results", progress=False)
    checkpoint = next((pathlib.Path(results.path) / "trials").glob("*/best.safetensors"))
    file = tmp_path / f"{name}.png"
    file.write_bytes(next((pathlib.Path(results.path) / "images").iterdir()).read_bytes())
    page = shown(ls.Predictor(checkpoint).predict(file))
    assert page.text.count(name) == 2 and len(page.pictures) == 1


def test_a_sweep_without_results_yet_says_so(tmp_path: pathlib.Path, definition: dict[str, Any]) -> None:
    def stop(_: dict[str, object]) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        ls.run(definition, results=tmp_path, device="cpu", on_epoch=stop, progress=False)
    assert "Which loss?" in shown(ls.Results(tmp_path / "tiny")).text
