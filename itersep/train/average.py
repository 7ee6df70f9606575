"""The weights of the best epochs, and their mean, which is often better than any one of them."""

import math
from typing import Any

import torch
from torch import Tensor

Weights = dict[str, Tensor]


class BestEpochs:
    """The weights of the ``count`` epochs with the lowest validation loss so far, on the CPU.

    They are kept in the checkpoint that training goes on from, not in files of their own: so nothing has to be kept in
    step with it when a run is killed, and nothing has to be cleared away.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.kept: list[dict[str, Any]] = []  # {"epoch", "loss", "model"}, the best first

    @property
    def epochs(self) -> list[int]:
        """Their numbers, the best first."""
        return [entry["epoch"] for entry in self.kept]

    def offer(self, epoch: int, loss: float, weights: Weights) -> bool:
        """Take in the weights of an epoch if it is among the best; returns whether it is. Of equals the first stays."""
        worst = self.kept[-1]["loss"] if len(self.kept) == self.count else math.inf
        if not loss < worst:
            return False
        weights = {name: value.detach().to("cpu", copy=True) for name, value in weights.items()}
        self.kept.append({"epoch": epoch, "loss": loss, "model": weights})
        self.kept = sorted(self.kept, key=lambda entry: entry["loss"])[: self.count]
        return True

    def mean(self) -> Weights:
        """Their mean, taken in double precision: that of one epoch is that epoch to the bit."""
        first = self.kept[0]["model"]
        return {
            name: torch.stack([entry["model"][name].double() for entry in self.kept]).mean(0).to(value.dtype)
            for name, value in first.items()
        }
