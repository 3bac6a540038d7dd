"""Records of a training in PyTorch, Lightning, Keras or anything else."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, SupportsFloat

from ._native import NativeRecorder

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def _number(value: Any) -> float:
    """A number, or what holds one, as a tensor that has gradients."""
    return float(value.item() if hasattr(value, "item") else value)


def _names(what: str, given: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Names, each a text. A text alone would be a list of letters."""
    if isinstance(given, (str, bytes)):
        raise TypeError(f"{what}: a list of names, not the text {given!r}")
    try:
        return [os.fspath(name) for name in given]
    except TypeError:
        raise TypeError(f"{what}: a list of names, each a text, not {given!r}") from None


class Recorder:
    """Writes what a training measured, so that `sweep report`, `sweep check` and `Results` read it as one of their own trials.

        >>> import tempfile, landmark_sweep as ls
        >>> folder = tempfile.mkdtemp()
        >>> truth = [[[10.0, 12.0], [30.0, 8.0]]]
        >>> for loss in ["l1", "mse"]:
        ...     with ls.Recorder(folder, "mine", axes={"loss.name": loss}, seed=0) as recorder:
        ...         for epoch in range(3):
        ...             predicted = [[[10.0 + epoch, 12.0], [30.0, 8.0]]]
        ...             error = recorder.epoch(0.3, 0.4, truth, predicted, images=["a.png"], spacing=0.1)
        >>> round(error, 3)
        0.1
        >>> ls.Results(recorder.path).trials["loss.name"]
        ['l1', 'mse']

    One `Recorder` is one training. Trainings of one comparison share `results` and `sweep`, and differ in `axes` or `seed`; several
    processes may record at the same time. Leaving the `with` block ends the trial: done, or with the exception that left it. A
    trial that is done is not recorded again. `question` heads the report; `epochs`, the number of epochs that are planned, and
    `device`, a name of what trains, stand in the list of trials.
    """

    def __init__(
        self,
        results: str | os.PathLike[str],
        sweep: str,
        *,
        axes: Mapping[str, Any],
        seed: int,
        question: str | None = None,
        epochs: int | None = None,
        device: str = "",
    ) -> None:
        if seed < 0:
            raise ValueError(f"seed {seed}: a whole number from 0")
        self._native = NativeRecorder(results, sweep, dict(axes), seed, question, epochs, device)

    @property
    def path(self) -> os.PathLike[str]:
        """The folder of the sweep, for `Results`."""
        return self._native.path

    @property
    def trial(self) -> str | None:
        """The trial's name, after its first epoch."""
        return self._native.trial

    def epoch(
        self,
        train_loss: SupportsFloat,
        val_loss: SupportsFloat,
        truth: ArrayLike,
        predicted: ArrayLike,
        *,
        images: Sequence[str | os.PathLike[str]],
        landmarks: Sequence[str] | None = None,
        spacing: float | tuple[float, float] | ArrayLike | None = None,
        patients: Sequence[str] | None = None,
        zero_loss: float | None = None,
        train_mre: float | None = None,
        lr: float | None = None,
    ) -> float:
        """Records an epoch; returns the mean radial error, in millimetres with `spacing`, else in pixels.

        `truth` and `predicted` are positions `[images, landmarks, 2]`, x and y in pixels of the original image; `nan` in `truth`
        where a landmark is not marked. `spacing` is millimetres per pixel: a number, (x, y), or `[images, 2]`. `zero_loss` is the
        loss of an all-zero output, which shows a loss that collapses.
        """
        shown = _names("images", images)
        names = None if landmarks is None else _names("landmarks", landmarks)
        groups = None if patients is None else _names("patients", patients)
        return self._native.epoch(
            _number(train_loss), _number(val_loss), truth, predicted, shown, names, spacing, groups, zero_loss, train_mre, lr
        )

    def diverged(self, message: str) -> None:
        """Ends a training whose loss is no number any more: a result, not a failure."""
        self._end("diverged", message)

    def close(self) -> None:
        """Ends the trial as done."""
        self._end("done", None)

    def _end(self, state: str, message: str | None) -> None:
        # Does nothing once it has ended.
        self._native.end(state, message)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._end("done", None)
        elif isinstance(error, KeyboardInterrupt):
            self._end("interrupted", None)
        else:
            self._end("failed", f"{type(error).__name__}: {error}")
