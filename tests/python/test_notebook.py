"""A real notebook, run by Jupyter's own kernel, and the bar of progress there and in a terminal."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from typing import Any

import pytest

import landmark_sweep as ls

nbformat = pytest.importorskip("nbformat", reason="Jupyter is not installed")
nbclient = pytest.importorskip("nbclient", reason="Jupyter is not installed")
pytest.importorskip("ipywidgets", reason="Jupyter is not installed")


def run(folder: pathlib.Path, *cells: str) -> tuple[list[list[dict[str, Any]]], dict[str, Any]]:
    """Runs cells; the outputs of each, and the states of all widgets."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources, allow_errors=True).execute()
    widgets = notebook.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {}).get("state", {})
    return [cell.outputs for cell in notebook.cells], {key: of["state"] for key, of in widgets.items()}


def test_a_notebook_shows_everything(definition: dict[str, Any], tmp_path: pathlib.Path) -> None:
    train = f"import pathlib, landmark_sweep as ls\nresults = ls.run({definition!r}, results='results', device='cpu')"
    predict = """
checkpoint = next((pathlib.Path(results.path) / "trials").glob("l1-*/best.safetensors"))
ls.Predictor(checkpoint).predict(next((pathlib.Path(results.path) / "images").iterdir()))
"""
    shown = ["results", "results.findings", "results.findings[0]", "results.summary", predict]
    outputs, widgets = run(tmp_path, train, *shown, train, "ls.plan({})")
    for source, output in zip(shown, outputs[1:], strict=False):
        assert [one["output_type"] for one in output] == ["execute_result"], (source, output)
        page = output[0]["data"]["text/html"]
        assert page.startswith("<"), source
        assert ("data:image/png;base64," in page) == (source in ("results", predict)), source
    # The bar is a widget, and nothing is printed or warned of beside it; it is full also where nothing was left to train.
    for again in (0, 6):
        assert [one["output_type"] for one in outputs[again]] == ["display_data"], outputs[again]
    bars = [of for of in widgets.values() if of.get("_model_name") == "FloatProgressModel"]
    assert [(bar["value"], bar["max"], bar["bar_style"]) for bar in bars] == [(4.0, 4.0, "success")] * 2
    said = "".join(str(of["value"]) for of in widgets.values() if of.get("_model_name") == "HTMLModel")
    # tqdm writes spaces as wide as digits.
    said = said.replace("\u2007", " ")
    assert "trial 2 of 2, epoch 2: MRE" in said, said
    error = outputs[7][0]
    assert error["ename"] == "SweepError" and "help: add name" in error["evalue"]


def test_a_bar_that_goes_on_starts_where_the_sweep_was(definition: dict[str, Any], tmp_path: pathlib.Path) -> None:
    def stop(epoch: dict[str, Any]) -> None:
        if epoch["epoch"] == 1:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        ls.run(definition, results=tmp_path, device="cpu", on_epoch=stop, progress=False)
    program = f"import landmark_sweep as ls; ls.run({definition!r}, results={str(tmp_path)!r}, device='cpu')"
    child = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    drawn = [line for line in child.stderr.splitlines() if "epoch" in line]
    assert "| 2/4 " in "".join(drawn) and "| 1/4 " not in "".join(drawn), drawn
    assert drawn[-1].startswith("100%") and "trial 2 of 2, epoch 2" in drawn[-1], drawn
    assert child.stdout == ""
