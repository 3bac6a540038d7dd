import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from numpy import float64, uint8
from numpy.typing import NDArray
from typing_extensions import Self

__all__ = [
    "Landmarks",
    "NativeRecorder",
    "NativeResults",
    "NativeTable",
    "Predictor",
    "Sample",
    "SweepError",
    "Trial",
    "inspect",
    "plan",
    "read_dataset",
    "run",
    "write_dataset",
]

_Path = str | os.PathLike[str]

class SweepError(Exception):
    kind: str
    message: str
    location: str | None
    remedy: str | None

@final
class Trial:
    @property
    def id(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def axes(self) -> dict[str, str]: ...
    @property
    def config(self) -> dict[str, Any]: ...

def plan(definition: _Path | Mapping[str, Any]) -> list[Trial]: ...
def run(
    definition: _Path | Mapping[str, Any],
    results: _Path,
    device: str,
    on_epoch: Callable[[dict[str, Any]], object] | None,
) -> NativeResults: ...
def inspect(path: _Path) -> dict[str, Any]: ...
def read_dataset(path: _Path) -> tuple[list[str], list[Sample]]: ...

@final
class Sample:
    @property
    def image(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def pixels(self) -> NDArray[uint8]: ...
    @property
    def landmarks(self) -> NDArray[float64]: ...
    @property
    def spacing(self) -> tuple[float, float] | None: ...
    @property
    def patient(self) -> str | None: ...

@final
class NativeResults:
    def __new__(cls, path: _Path) -> Self: ...
    @property
    def path(self) -> Path: ...
    @property
    def name(self) -> str: ...
    @property
    def question(self) -> str | None: ...
    def table(self, rows: str) -> NativeTable: ...
    def findings(self) -> tuple[list[dict[str, Any]], NativeTable]: ...
    def loss_against_error(self) -> bytes | None: ...
    def report(self) -> Path: ...
    def check(self, baseline: _Path, margin: float | None, sdr_margin: float) -> dict[str, Any]: ...

@final
class NativeTable:
    def __len__(self) -> int: ...
    def names(self) -> list[str]: ...
    def columns(self) -> dict[str, list[Any]]: ...
    def __arrow_c_schema__(self) -> object: ...
    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...

def write_dataset(
    path: _Path,
    landmarks: list[str],
    positions: Any,
    images: list[tuple[str, Any, str, float | tuple[float, float] | None, str | None]],
) -> None: ...

@final
class Landmarks:
    @property
    def names(self) -> list[str]: ...
    @property
    def x(self) -> list[float]: ...
    @property
    def y(self) -> list[float]: ...
    @property
    def confidence(self) -> list[float]: ...
    @property
    def unlike(self) -> bool | None: ...
    @property
    def radius(self) -> list[float | None]: ...
    @property
    def radius_unit(self) -> str | None: ...
    @property
    def image(self) -> Any: ...
    def overlay(self) -> bytes: ...
    def _repr_html_(self) -> str: ...
    def __len__(self) -> int: ...
    def __getitem__(self, name: str, /) -> tuple[float, float]: ...

@final
class Predictor:
    def __new__(
        cls,
        checkpoints: _Path | Sequence[_Path],
        *,
        views: int = 1,
        device: str = "cpu",
        radii: _Path | None = None,
        threads: int | None = None,
    ) -> Self: ...
    @property
    def landmarks(self) -> list[str]: ...
    def predict(self, image: Any, *, spacing: float | tuple[float, float] | None = None) -> Landmarks: ...
    def predict_batch(
        self, images: Iterable[Any], *, spacing: float | tuple[float, float] | None = None, batch_size: int = 8
    ) -> list[Landmarks]: ...

@final
class NativeRecorder:
    def __new__(
        cls,
        results: _Path,
        sweep: str,
        axes: dict[str, Any],
        seed: int,
        question: str | None,
        epochs: int | None,
        device: str,
    ) -> Self: ...
    @property
    def trial(self) -> str | None: ...
    @property
    def path(self) -> Path: ...
    def epoch(
        self,
        train_loss: float,
        val_loss: float,
        truth: Any,
        predicted: Any,
        images: list[str],
        landmarks: list[str] | None,
        spacing: Any,
        patients: list[str] | None,
        zero_loss: float | None,
        train_mre: float | None,
        lr: float | None,
    ) -> float: ...
    def end(self, state: str, message: str | None) -> None: ...
