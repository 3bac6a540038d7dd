"""The results of a sweep."""

from __future__ import annotations

import html
import io
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ._native import NativeResults

if TYPE_CHECKING:
    import pandas
    import polars

    Path = str | os.PathLike[str]

# Rows of a table that a notebook shows.
_SHOWN = 20


class Table:
    """A table: columns by name, each a list. Missing values are `None`, missing numbers `nan`."""

    def __init__(self, native: NativeResults, rows: str) -> None:
        self._native = native
        self._rows = rows
        self._columns: dict[str, list[Any]] | None = None

    def to_dict(self) -> dict[str, list[Any]]:
        """The columns by their names."""
        if self._columns is None:
            self._columns = self._native.columns(self._rows)
        return self._columns

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.to_dict())

    def __getitem__(self, column: str) -> list[Any]:
        try:
            return self.to_dict()[column]
        except KeyError:
            raise KeyError(f"there is no column {column!r}; there are {', '.join(self.columns)}") from None

    def __len__(self) -> int:
        return len(next(iter(self.to_dict().values()), []))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows, each a dictionary."""
        columns = self.to_dict()
        return (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))

    def to_pandas(self) -> pandas.DataFrame:
        """The table as a pandas data frame."""
        import pandas

        return pandas.DataFrame(self.to_dict())

    def to_polars(self) -> polars.DataFrame:
        """The table as a polars data frame."""
        import polars

        return polars.read_parquet(io.BytesIO(self._native.parquet(self._rows)))

    def __repr__(self) -> str:
        return f"Table({len(self)} {self._rows}: {', '.join(self.columns)})"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(_short(value))}</td>" for value in row.values()) + "</tr>"
            for row, _ in zip(self, range(_SHOWN), strict=False)
        )
        more = len(self) - _SHOWN
        rest = f"<p>and {more} more rows</p>" if more > 0 else ""
        return f"<table><tr>{head}</tr>{rows}</table>{rest}"


def _short(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


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
        """A row per trial: its values on the axes, its state, and the errors at its best epoch."""
        return Table(self._native, "trials")

    @property
    def epochs(self) -> Table:
        """A row per epoch: losses and landmark errors."""
        return Table(self._native, "epochs")

    @property
    def landmarks(self) -> Table:
        """A row per landmark of a validation image, at the selected epochs: true and predicted position, error."""
        return Table(self._native, "landmarks")

    @property
    def errors(self) -> Table:
        """A row per landmark of a validation image, at every evaluated epoch: its error."""
        return Table(self._native, "errors")

    @property
    def findings(self) -> list[dict[str, Any]]:
        """What the records show, in sentences with their statistics, most important topics first."""
        return self._native.findings()

    def report(self) -> os.PathLike[str]:
        """Writes summary, figures and pages; returns the path of `index.html`."""
        return self._native.report()

    def check(self, baseline: Path, *, margin: float | None = None, sdr_margin: float = 5.0) -> dict[str, Any]:
        """Holds the landmark errors against a baseline that `sweep baseline` wrote: `verdict` is pass, fail or inconclusive."""
        return self._native.check(baseline, margin, sdr_margin)

    def __repr__(self) -> str:
        return f"Results({os.fspath(self.path)!r})"

    def _repr_html_(self) -> str:
        title = html.escape(self.question or self.name)
        sentences = "".join(f"<li>{html.escape(finding['sentence'])}</li>" for finding in self.findings[:8])
        return f"<h3>{title}</h3><ul>{sentences}</ul>{self.trials._repr_html_()}"
