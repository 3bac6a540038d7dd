"""Tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from . import display

if TYPE_CHECKING:
    import pandas
    import polars

    from ._native import NativeTable


class Table:
    """A table: columns by name, each a list. Missing values are `None`, missing numbers `nan`.

    It has the PyCapsule interface of Arrow: `polars.DataFrame(table)`, `pyarrow.table(table)`, `duckdb.from_arrow(table)` and
    `pandas.DataFrame.from_arrow(table)` read its columns where they lie, without a copy. It is read when it is first asked for,
    and then stays as it is.
    """

    def __init__(self, rows: str, read: Callable[[], NativeTable]) -> None:
        self._rows = rows
        self._read = read
        self._table: NativeTable | None = None
        self._columns: dict[str, list[Any]] | None = None

    def _native(self) -> NativeTable:
        if self._table is None:
            self._table = self._read()
        return self._table

    def to_dict(self) -> dict[str, list[Any]]:
        """The columns by their names."""
        if self._columns is None:
            self._columns = self._native().columns()
        return self._columns

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return self._native().names()

    def __getitem__(self, column: str) -> list[Any]:
        try:
            return self.to_dict()[column]
        except KeyError:
            raise KeyError(f"there is no column {column!r}; there are {', '.join(self.columns)}") from None

    def __len__(self) -> int:
        return len(self._native())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows, each a dictionary."""
        columns = self.to_dict()
        return (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))

    def __arrow_c_schema__(self) -> object:
        return self._native().__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._native().__arrow_c_stream__(requested_schema)

    def to_pandas(self) -> pandas.DataFrame:
        """The table as a pandas data frame. Needs pandas alone; with pyarrow, `pandas.DataFrame.from_arrow` copies less."""
        import pandas

        return pandas.DataFrame(self.to_dict())

    def to_polars(self) -> polars.DataFrame:
        """The table as a polars data frame."""
        import polars

        return polars.DataFrame(self)

    def __repr__(self) -> str:
        return f"Table({len(self)} {self._rows}: {', '.join(self.columns)})"

    def _repr_html_(self) -> str:
        return display.table(self.columns, self, len(self))
