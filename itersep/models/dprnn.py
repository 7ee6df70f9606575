"""Dual-path RNN block (Luo, Chen and Yoshioka, ICASSP 2020): an LSTM within chunks, then one across them.

Activations are (B, S, K, N), features last, through the whole separator.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

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


class PathRNN(nn.Module):
    """Bidirectional LSTM along one axis, linear, norm, residual.

    With ``recompute`` the backward pass computes the LSTM again instead of keeping what it did, most of a network's
    memory in training.
    """

    def __init__(self, features: int, hidden: int, recompute: bool = False) -> None:
        super().__init__()
        self.recompute = recompute
        self.lstm = nn.LSTM(features, hidden, bidirectional=True, batch_first=True)
        self.linear = nn.Linear(2 * hidden, features)
        self.norm = GlobalNorm(features)

    def forward(self, x: Tensor) -> Tensor:
        """(B, P, Q, N) -> (B, P, Q, N), recurrent along Q."""
        if self.recompute and torch.is_grad_enabled():
            update = checkpoint(self._update, x, use_reentrant=False, preserve_rng_state=False)
        else:
            update = self._update(x)
        return x + self.norm(update)

    def _update(self, x: Tensor) -> Tensor:
        hidden, _ = self.lstm(x.flatten(0, 1))  # (B * P, Q, 2H)
        return self.linear(hidden).view(x.shape)


class DPRNNBlock(nn.Module):
    """One layer of the paper's SIMO and SISO modules."""

    def __init__(self, features: int, hidden: int, recompute: bool = False) -> None:
        super().__init__()
        self.intra = PathRNN(features, hidden, recompute)
        self.inter = PathRNN(features, hidden, recompute)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, K, N) -> (B, S, K, N)."""
        x = self.intra(x)  # along K
        return self.inter(x.transpose(1, 2)).transpose(1, 2)  # along S
