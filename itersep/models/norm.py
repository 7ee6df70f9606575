"""Normalisation of activations, features last."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPS = 1e-8  # far below the layers' usual 1e-5, so that the network does not change with the signal's level


class GlobalNorm(nn.Module):
    """Group normalisation with one group: each example over all of its frames and features; N gains and offsets."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(features))
        self.offset = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        """(B, ..., N) -> (B, ..., N)."""
        return F.layer_norm(x, x.shape[1:], eps=NORM_EPS) * self.gain + self.offset
