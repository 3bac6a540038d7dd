"""Checkpoints of `sweep` as modules of PyTorch. Needs torch and safetensors."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def load(checkpoint: str | os.PathLike[str]) -> nn.Module:
    """The network of a checkpoint, ready to predict.

    It takes images `[B, C, H, W]` of the input size, values from 0 to 1, and returns a list of heatmaps `[B, K, H, W]`, the last
    of which counts. A network of two stages is a `ModuleDict` of "coarse" and "fine".
    """
    from torch import nn

    from .pytorch_networks import load as networks_of

    networks, _ = networks_of(checkpoint)  # type: ignore[no-untyped-call]
    if list(networks) == [""]:
        only: nn.Module = networks[""]
        return only
    return nn.ModuleDict({prefix.rstrip("."): network for prefix, network in networks.items()})
