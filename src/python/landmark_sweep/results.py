"""The results of a sweep."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from . import display
from ._native import NativeResults
from .findings import Findings
from .table import Table

if TYPE_CHECKING:
    Path = str | os.PathLike[str]


class Results:
    """The folder of a sweep, as `results/loss`. Tables are read when they are asked for."""

    def __init__(self, path: Path) -> None:
        self._native = NativeResults(path)

    @classmethod
    def _of(cls, native: NativeResults) -> Results:
        results = cls.__new__(cls)
        results._native = native
        return results

    @property
    def path(self) -> os.PathLike[str]:
        """The folder."""
        return self._native.path

    @property
    def name(self) -> str:
        """Name of the sweep."""
        return self._native.name

    @property
    def question(self) -> str | None:
        """The question that the sweep answers."""
        return self._native.question

    @property
    def trials(self) -> Table:
        """A row per trial: its values on the axes, its state, time and memory, and every other setting."""
        return self._table("trials")

    @property
    def summary(self) -> Table:
        """A row per trial, as in `summary.csv`: its values on the axes, losses, and landmark errors at its best epoch."""
        return self._table("summary")

    @property
    def epochs(self) -> Table:
        """A row per epoch: losses and landmark errors."""
        return self._table("epochs")

    @property
    def landmarks(self) -> Table:
        """A row per landmark of a validation image, at the selected epochs: true and predicted position, error."""
        return self._table("landmarks")

    @property
    def errors(self) -> Table:
        """A row per landmark of a validation image, at every evaluated epoch: its error."""
        return self._table("errors")

    @property
    def measures(self) -> Table:
        """A row per measure of a validation image, at the selected epochs, where the data set defines angles or distances."""
        return self._table("measures")

    def _table(self, rows: str) -> Table:
        return Table(rows, lambda: self._native.table(rows))

    @property
    def findings(self) -> Findings:
        """What the records show, in sentences with their statistics, most important topics first."""
        findings, table = self._native.findings()
        return Findings(findings, Table("findings", lambda: table))

    def report(self) -> os.PathLike[str]:
        """Writes summary, figures and pages; returns the path of `index.html`."""
        return self._native.report()

    def check(self, baseline: Path, *, margin: float | None = None, sdr_margin: float = 5.0) -> dict[str, Any]:
        """Holds the landmark errors against a baseline that `sweep baseline` wrote: `verdict` is pass, fail or inconclusive."""
        return self._native.check(baseline, margin, sdr_margin)

    def __repr__(self) -> str:
        return f"Results({os.fspath(self.path)!r})"

    def _loss_against_error(self) -> bytes | None:
        return self._native.loss_against_error()

    def _repr_html_(self) -> str:
        return display.results(self)
