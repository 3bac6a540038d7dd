"""Sweeps of landmark-detection trainings, judged on the landmark error beside the loss.

    >>> import landmark_sweep as ls
    >>> definition = {
    ...     "name": "small",
    ...     "axes": {"loss.name": ["l1", "smooth-l1"]},
    ...     "trial": {
    ...         "epochs": 2,
    ...         "dataset": {"name": "phantom", "train": 4, "val": 3, "height": 40, "width": 32},
    ...         "input": {"height": 40, "width": 32},
    ...         "model": {"name": "unet", "filters": [4, 8]},
    ...     },
    ... }
    >>> [trial.axes["loss.name"] for trial in ls.plan(definition)]
    ['l1', 'smooth-l1']
    >>> import tempfile
    >>> results = ls.run(definition, results=tempfile.mkdtemp(), progress=False)
    >>> results.trials["state"]
    ['done', 'done']
    >>> results.summary["epochs"]
    [2, 2]
    >>> len(results.epochs)
    4

Every error is a `SweepError` with the words of the program: what is wrong, where, and what would be right. The program `sweep`
is installed beside the module.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ._native import Landmarks, Predictor, Sample, SweepError, Trial
from ._native import inspect as _inspect
from ._native import plan as _plan
from ._native import read_dataset as _read_dataset
from ._native import run as _run
from ._native import write_dataset as _write_dataset
from .findings import Finding, Findings
from .recorder import Recorder
from .results import Results
from .table import Table

__all__ = [
    "Dataset",
    "Finding",
    "Findings",
    "Landmarks",
    "Predictor",
    "Recorder",
    "Results",
    "Sample",
    "SweepError",
    "Table",
    "Trial",
    "plan",
    "run",
]

Path = str | os.PathLike[str]
Definition = Path | Mapping[str, Any]


def _given(definition: Definition) -> Path | dict[str, Any]:
    return dict(definition) if isinstance(definition, Mapping) else definition


def plan(definition: Definition) -> list[Trial]:
    """The trials of a definition: the path of a TOML file, or a dictionary of what would be in it."""
    return _plan(_given(definition))


def run(
    definition: Definition,
    *,
    results: Path = "results",
    device: str = "auto",
    on_epoch: Callable[[dict[str, Any]], object] | None = None,
    progress: bool = True,
) -> Results:
    """Trains every unfinished trial, one after another, and writes summary and report.

    `on_epoch` is called after each epoch with its trial, losses and errors. An interrupt (Ctrl-C) or an exception of `on_epoch`
    saves the progress, and the next call goes on. Trials side by side, on several GPUs or on Slurm, and pruning: `sweep run`.
    """
    given = _given(definition)
    if not progress:
        return Results._of(_run(given, results, device, on_epoch))
    from .progress import Bar

    with Bar(_plan(given)) as bar:

        def report(epoch: dict[str, Any]) -> None:
            bar.epoch(epoch)
            if on_epoch is not None:
                on_epoch(epoch)

        return Results._of(_run(given, results, device, report))


class Dataset:
    """A data set in a folder: `dataset.toml`, `landmarks.csv` and images. `sweep data import` and `sweep data synth` make such."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: tuple[list[str], list[Sample]] | None = None

    @classmethod
    def from_arrays(
        cls,
        path: Path,
        images: Sequence[Any],
        landmarks: Any,
        *,
        splits: Sequence[str],
        spacing: float | tuple[float, float] | Sequence[tuple[float, float]] | None = None,
        names: Sequence[str] | None = None,
        landmark_names: Sequence[str] | None = None,
        patients: Sequence[str] | None = None,
    ) -> Dataset:
        """Writes a data set into a new folder.

        `images`: arrays of uint8, `[height, width]` or `[height, width, 3]`, of any sizes. `landmarks`: `[images, landmarks, 2]`,
        x and y in pixels of each image, the centre of the first pixel at 0, 0; `nan` where one is not marked. `splits`: `train`,
        `val` or `test` for each image. `spacing`: millimetres per pixel, a number or x and y, or x and y of each image; without
        it errors are in pixels. `patients` keeps images of one patient together in folds.
        """
        count = len(images)
        millimetres: Sequence[Any]
        if spacing is None or isinstance(spacing, (int, float)) or not hasattr(spacing[0], "__len__"):
            millimetres = [spacing] * count
        else:
            millimetres = spacing
        given: dict[str, Sequence[Any] | None] = {
            "splits": splits,
            "names": names,
            "patients": patients,
            "spacing": millimetres,
        }
        for what, values in given.items():
            if values is not None and len(values) != count:
                raise ValueError(f"{count} images, but {len(values)} {what}")
        names = names or [f"{index + 1:04d}.png" for index in range(count)]
        marked = len(landmarks[0]) if len(landmarks) else 0
        _write_dataset(
            path,
            list(landmark_names or [str(index + 1) for index in range(marked)]),
            landmarks,
            [
                (names[index], images[index], splits[index], millimetres[index], patients[index] if patients else None)
                for index in range(count)
            ],
        )
        return cls(path)

    def _content(self) -> tuple[list[str], list[Sample]]:
        if self._read is None:
            self._read = _read_dataset(self.path)
        return self._read

    @property
    def landmarks(self) -> list[str]:
        """Names of the landmarks."""
        return self._content()[0]

    def samples(self, split: str | None = None) -> list[Sample]:
        """The images with their landmarks as arrays: all, or those of a split (`train`, `val`, `test`)."""
        if split not in (None, "train", "val", "test"):
            raise ValueError(f"there is no split {split!r}: train, val or test")
        return [sample for sample in self._content()[1] if split in (None, sample.split)]

    def inspect(self) -> dict[str, Any]:
        """Everything that is wrong with it: `spoilt`, `facts` and `findings`, as `sweep data inspect --json`."""
        return _inspect(self.path)

    def __repr__(self) -> str:
        return f"Dataset({os.fspath(self.path)!r})"
