"""A line of progress while a sweep runs."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from ._native import Trial


class Bar:
    """Shows epochs, the error and the loss: by tqdm where that is installed, else a line for each epoch."""

    def __init__(self, trials: list[Trial]) -> None:
        self._trials = {trial.id: number for number, trial in enumerate(trials, 1)}
        epochs = sum(int(trial.config["epochs"]) for trial in trials)
        try:
            from tqdm.auto import tqdm
        except ImportError:
            self._bar = None
        else:
            self._bar = tqdm(total=epochs, unit="epoch")

    def epoch(self, epoch: dict[str, Any]) -> None:
        """Shows an epoch."""
        error = "" if epoch["val_mre"] is None else f"MRE {epoch['val_mre']:.3f} {epoch['unit']}, "
        loss = "no loss" if epoch["train_loss"] is None else f"loss {epoch['train_loss']:.3g}"
        place = f"trial {self._trials.get(epoch['trial'], '?')} of {len(self._trials)}, epoch {epoch['epoch']}"
        if self._bar is None:
            print(f"{place}: {error}{loss}", file=sys.stderr)
        else:
            self._bar.update(1)
            self._bar.set_postfix_str(f"{place}: {error}{loss}")

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
