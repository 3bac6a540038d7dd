"""Findings of a sweep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, overload

from . import display
from .table import Table

if TYPE_CHECKING:
    import pandas
    import polars


class Finding(dict[str, Any]):
    """A finding as in `findings.json`: `sentence`, `verdict`, `estimate`, `p_adjusted`, `caveats` and more."""

    def _repr_html_(self) -> str:
        return display.finding(self)


class Findings:
    """What the records of a sweep show, most important topics first: a sequence of findings, and a table of them."""

    def __init__(self, findings: list[dict[str, Any]], table: Table) -> None:
        self._findings = [Finding(finding) for finding in findings]
        self.table = table
        """A row per finding: `id`, `verdict`, `sentence`, the estimate with its interval, p-values."""

    def __len__(self) -> int:
        return len(self._findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._findings)

    @overload
    def __getitem__(self, index: int) -> Finding: ...
    @overload
    def __getitem__(self, index: slice) -> list[Finding]: ...
    def __getitem__(self, index: int | slice) -> Finding | list[Finding]:
        return self._findings[index]

    def __arrow_c_schema__(self) -> object:
        return self.table.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)

    def to_pandas(self) -> pandas.DataFrame:
        """The table of findings as a pandas data frame."""
        return self.table.to_pandas()

    def to_polars(self) -> polars.DataFrame:
        """The table of findings as a polars data frame."""
        return self.table.to_polars()

    def __repr__(self) -> str:
        return "Findings(" + "\n  ".join(finding["sentence"] for finding in self) + ")"

    def _repr_html_(self) -> str:
        return display.findings(self._findings)
