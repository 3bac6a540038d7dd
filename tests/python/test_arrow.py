"""Tables in the memory of other libraries, by the PyCapsule interface of Arrow."""

from __future__ import annotations

import ctypes
import gc
import threading
from typing import Any

import duckdb
import numpy as np
import pandas
import polars
import pyarrow
import pytest

import landmark_sweep as ls

TABLES = ["trials", "summary", "epochs", "landmarks", "errors", "measures", "findings"]


def same(column: list[Any], values: list[Any]) -> None:
    """Holds the values of a column against those of `Table`."""
    assert len(column) == len(values)
    for own, other in zip(column, values, strict=True):
        assert own == other or (own != own and (other is None or other != other)), (own, other)


@pytest.fixture(params=TABLES)
def table(request: pytest.FixtureRequest, trained: ls.Results) -> ls.Table:
    table = getattr(trained, request.param)
    return table.table if isinstance(table, ls.Findings) else table


def test_pyarrow_reads_every_table(table: ls.Table) -> None:
    read = pyarrow.table(table)
    read.validate(full=True)
    assert read.column_names == table.columns and read.num_rows == len(table) > 0
    for name in table.columns:
        same(table[name], read[name].to_pylist())
    assert pyarrow.schema(table) == read.schema
    assert sum(batch.num_rows for batch in pyarrow.RecordBatchReader.from_stream(table)) == len(table)


def test_polars_reads_every_table(table: ls.Table) -> None:
    read = polars.DataFrame(table)
    assert read.columns == table.columns and read.equals(table.to_polars(), null_equal=True)
    for name in table.columns:
        same(table[name], read[name].to_list())


def test_duckdb_reads_every_table(table: ls.Table) -> None:
    read = duckdb.from_arrow(table)
    assert read.columns == table.columns
    rows = read.fetchall()
    for index, name in enumerate(table.columns):
        same(table[name], [row[index] for row in rows])
    # A relation may be asked again: every query reads the table anew.
    assert duckdb.sql("select count(*) from read").fetchall() == [(len(table),)]


def test_pandas_reads_every_table(table: ls.Table) -> None:
    frame = table.to_pandas()
    assert list(frame.columns) == table.columns and len(frame) == len(table)
    if not hasattr(pandas.DataFrame, "from_arrow"):
        return
    read = pandas.DataFrame.from_arrow(table)
    for name in table.columns:
        same(table[name], [None if pandas.isna(value) else value for value in read[name].tolist()])


def test_findings_are_a_sequence_and_a_table(trained: ls.Results) -> None:
    findings = trained.findings
    assert findings[0] == next(iter(findings)) and findings[:2] == [findings[0], findings[1]]
    assert findings.table["sentence"] == [finding["sentence"] for finding in findings]
    assert findings.table["verdict"] == [finding["verdict"] for finding in findings]
    with pytest.raises(IndexError):
        findings[len(findings)]
    assert polars.DataFrame(findings).height == len(findings) == findings.to_polars().height


def test_numbers_are_shared_and_not_copied(trained: ls.Results) -> None:
    table = trained.errors
    first, second = pyarrow.table(table)["error_mm"], pyarrow.table(table)["error_mm"]
    address = [column.chunk(0).buffers()[1].address for column in (first, second)]
    assert address[0] == address[1]


def test_what_was_read_outlives_the_table(trained: ls.Results) -> None:
    expected = trained.landmarks.to_dict()
    read = pyarrow.table(ls.Results(trained.path).landmarks)
    gc.collect()
    # Memory that was given back too early would have other values by now.
    rubbish = [np.full(50_000, 7.0) for _ in range(50)]
    for name, column in expected.items():
        same(column, read[name].to_pylist())
    del rubbish


class Stream(ctypes.Structure):
    """`ArrowArrayStream` of the C stream interface."""

    _fields_ = [
        ("get_schema", ctypes.c_void_p),
        ("get_next", ctypes.c_void_p),
        ("get_last_error", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    ]


def inside(capsule: object) -> Stream:
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    address = pointer(capsule, b"arrow_array_stream")
    assert address
    return Stream.from_address(address)


class Once:
    """Hands over a capsule that exists already."""

    def __init__(self, capsule: object) -> None:
        self.capsule = capsule

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.capsule


def test_a_capsule_may_be_read_never_once_or_twice(trained: ls.Results) -> None:
    table = trained.epochs
    for _ in range(1000):
        table.__arrow_c_stream__()
        table.__arrow_c_schema__()
    capsule = table.__arrow_c_stream__()
    assert inside(capsule).release
    assert pyarrow.table(Once(capsule)).num_rows == len(table)
    # Whoever reads a stream takes it over: nothing is left to be released by the capsule.
    assert not inside(capsule).release
    with pytest.raises((ValueError, pyarrow.ArrowInvalid)):
        pyarrow.table(Once(capsule))
    del capsule
    gc.collect()
    assert pyarrow.table(table).num_rows == len(table)


def test_a_reader_that_stops_halfway_does_no_harm(trained: ls.Results) -> None:
    reader = pyarrow.RecordBatchReader.from_stream(trained.epochs)
    batch = reader.read_next_batch()
    del reader
    gc.collect()
    assert batch.num_rows == len(trained.epochs)
    with pytest.raises(StopIteration):
        whole = pyarrow.RecordBatchReader.from_stream(trained.epochs)
        whole.read_next_batch()
        whole.read_next_batch()


def test_a_requested_schema_may_be_asked_for(trained: ls.Results) -> None:
    table = trained.epochs
    schema = pyarrow.schema(table)
    capsule = table.__arrow_c_stream__(schema.__arrow_c_schema__())
    assert pyarrow.table(Once(capsule)).schema == schema
    with pytest.raises(TypeError):
        table.__arrow_c_stream__(schema, 3)  # type: ignore[call-arg]


def test_threads_read_one_table_at_the_same_time(trained: ls.Results) -> None:
    table, sums = trained.errors, []

    def read() -> None:
        for _ in range(20):
            sums.append(sum(pyarrow.table(table)["error_mm"].to_pylist()))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sums) == 80 and len(set(sums)) == 1
