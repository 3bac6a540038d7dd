"""The module in other processes, in threads, and at the end of the interpreter."""

from __future__ import annotations

import json
import multiprocessing
import pathlib
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import landmark_sweep as ls


def work(checkpoint: str, definition: dict[str, Any], folder: str, results: "multiprocessing.Queue[Any]") -> None:
    """Predicts, trains and reads; what each gave."""
    found = ls.Predictor(checkpoint).predict(np.zeros((48, 40), np.uint8))
    trained = ls.run(definition, results=folder, device="cpu", progress=False)
    results.put((found.x, trained.epochs["train_loss"], [finding["sentence"] for finding in trained.findings]))


# In the fixture `trained` this process has computed before it is forked: its threads exist, and no fork has them.
@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
@pytest.mark.filterwarnings("ignore:This process")
def test_other_processes_compute_the_same(
    trained: ls.Results, definition: dict[str, Any], tmp_path: pathlib.Path, method: str
) -> None:
    checkpoint = str(next((pathlib.Path(trained.path) / "trials").glob("l1-*/best.safetensors")))
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=work, args=(checkpoint, definition, str(tmp_path), queue))
    child.start()
    try:
        x, losses, sentences = queue.get(timeout=120)
        child.join(timeout=60)
    finally:
        child.kill()
    assert child.exitcode == 0
    assert x == ls.Predictor(checkpoint).predict(np.zeros((48, 40), np.uint8)).x
    assert losses == trained.epochs["train_loss"]
    assert sentences == [finding["sentence"] for finding in trained.findings]


def grandchild(checkpoint: str, results: "multiprocessing.Queue[int]") -> None:
    results.put(len(ls.Predictor(checkpoint).predict(np.zeros((48, 40), np.uint8))))


def child_that_forks(checkpoint: str, results: "multiprocessing.Queue[int]") -> None:
    grandchild(checkpoint, results)
    process = multiprocessing.get_context("fork").Process(target=grandchild, args=(checkpoint, results))
    process.start()
    process.join()


@pytest.mark.filterwarnings("ignore:This process")
def test_a_fork_of_a_fork_has_threads_too(trained: ls.Results) -> None:
    checkpoint = str(next((pathlib.Path(trained.path) / "trials").glob("l1-*/best.safetensors")))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=child_that_forks, args=(checkpoint, queue))
    child.start()
    try:
        assert queue.get(timeout=60) == queue.get(timeout=60) > 0
        child.join(timeout=60)
    finally:
        child.kill()
    assert child.exitcode == 0


@pytest.mark.parametrize("ending", ["pass", "raise RuntimeError('enough')", "import sys; sys.exit(0)"])
def test_the_interpreter_may_end_while_a_thread_trains(
    definition: dict[str, Any], tmp_path: pathlib.Path, ending: str
) -> None:
    long = {**definition, "axes": {}, "trial": {**definition["trial"], "loss": {"name": "l1"}, "epochs": 100_000}}
    program = textwrap.dedent(f"""
        import pathlib, threading, time
        import landmark_sweep as ls
        begun = threading.Event()
        def train():
            ls.run({long!r}, results={str(tmp_path)!r}, device="cpu", progress=False, on_epoch=lambda epoch: begun.set())
        threading.Thread(target=train, daemon=True).start()
        assert begun.wait(60)
        {ending}
    """)
    start = time.monotonic()
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert child.returncode == (1 if "raise" in ending else 0), (child.returncode, child.stderr)
    assert "panicked" not in child.stderr and "Rust" not in child.stderr and "Fatal" not in child.stderr, child.stderr
    assert time.monotonic() - start < 60
    # What was recorded until then is sound, and the trial can go on.
    results = ls.Results(tmp_path / "tiny")
    assert len(results.epochs) > 0
    status = json.loads(next((tmp_path / "tiny" / "trials").glob("*/status.json")).read_text())
    assert status["state"] in ("running", "interrupted")
    shorter = {**long, "trial": {**long["trial"], "epochs": 1}}
    assert ls.run(shorter, results=tmp_path / "again", device="cpu", progress=False).trials["state"] == ["done"]


def test_two_threads_train_at_the_same_time(definition: dict[str, Any], trained: ls.Results, tmp_path: pathlib.Path) -> None:
    def train(name: str) -> list[Any]:
        return ls.run(definition, results=tmp_path / name, device="cpu", progress=False).epochs["train_loss"]

    with ThreadPoolExecutor() as threads:
        assert list(threads.map(train, ["a", "b"])) == [trained.epochs["train_loss"]] * 2
