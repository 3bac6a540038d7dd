"""A bar of progress while a sweep runs, in terminals and notebooks."""

from __future__ import annotations

import warnings
from types import TracebackType
from typing import Any

from ._native import Trial


class Bar:
    """Shows epochs of the whole sweep, the error and the loss."""

    def __init__(self, trials: list[Trial]) -> None:
        # Place of each trial, and the epochs of those before it: trials run in their order, and some may be done already.
        self._trials: dict[str, tuple[int, int]] = {}
        epochs = 0
        for number, trial in enumerate(trials, 1):
            self._trials[trial.id] = number, epochs
            epochs += int(trial.config["epochs"])
        with warnings.catch_warnings():
            # In a notebook without ipywidgets the bar is one of text, which is no reason to warn.
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm
        self._epochs, self._at, self._has_begun = epochs, 0, False
        self._bar = tqdm(total=epochs, unit="epoch")

    def epoch(self, epoch: dict[str, Any]) -> None:
        """Shows an epoch."""
        # A trial that was first trained as part of a smaller sweep keeps the name that it had there.
        number, before = self._trials.get(epoch["trial"], ("?", 0))
        at = min(self._epochs, max(self._at + 1, before + epoch["epoch"]))
        if not self._has_begun:
            # What an earlier run has trained tells nothing of the speed.
            self._has_begun, self._bar.initial = True, at - 1
        self._move_to(at)
        error = "" if epoch["val_mre"] is None else f"MRE {epoch['val_mre']:.3f} {epoch['unit']}, "
        loss = "no loss" if epoch["train_loss"] is None else f"loss {epoch['train_loss']:.3g}"
        self._bar.set_postfix_str(f"trial {number} of {len(self._trials)}, epoch {epoch['epoch']}: {error}{loss}")

    def _move_to(self, at: int) -> None:
        self._bar.update(at - self._at)
        self._at = at

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            # Trials that were done already, or stopped early, are done too.
            self._move_to(self._epochs)
        self._bar.close()
