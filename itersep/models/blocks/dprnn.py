"""Dual-path RNN (Luo, Chen and Yoshioka, ICASSP 2020): an LSTM within chunks of frames, then one across them.

The state is (B, S, K, N): S chunks of K frames, the paper's overlapping by half.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from itersep.models.blocks.base import BlockSpec
from itersep.models.chunk import merge_chunks, split_chunks
from itersep.models.norm import GlobalNorm


@dataclass(frozen=True)
class DPRNNSpec(BlockSpec):
    """Sizes of a DPRNN; the defaults are the paper's time-domain ones (section 3.2).

    Args:
        features: size N of the bottleneck
        hidden: LSTM units a direction
        chunk: chunk length K in frames, even (100 for the learned filterbank, 24 for the STFT)
        overlap: chunks overlap by half; without, there are half as many, and the blocks have half of the work
        recompute: compute activations again in the backward pass: less memory, more time (docs/performance.md says how
            much of each), the same results
    """

    hidden: int = 128
    chunk: int = 100
    overlap: bool = True
    recompute: bool = False

    def __post_init__(self) -> None:
        self.check(features=1, hidden=1, chunk=2)
        if self.chunk % 2:
            raise ValueError(f"chunk must be even, not {self.chunk}: chunks overlap by half")

    @property
    def period(self) -> int:
        """Frames from one chunk to the next."""
        return self.chunk // 2 if self.overlap else self.chunk

    def make_embedding(self, channels: int, filters: int) -> nn.Module:
        """From (B, L, I, F) to the state (B, S, K, N)."""
        return Embedding(channels * filters, self.features, self.chunk, self.overlap)

    def make_block(self) -> nn.Module:
        """From state to state."""
        return DPRNNBlock(self.features, self.hidden, self.recompute)

    def make_head(self, filters: int, start: Sequence[float]) -> nn.Module:
        """From the state to (B, L, O, F)."""
        return Head(self.features, filters, start, self.overlap)


class Embedding(nn.Module):
    """All channels and filters of a frame, normalised, to N features; frames in chunks."""

    def __init__(self, inputs: int, features: int, chunk: int, overlap: bool) -> None:
        super().__init__()
        self.chunk, self.overlap = chunk, overlap
        self.norm = GlobalNorm(inputs)
        self.bottleneck = nn.Linear(inputs, features)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, I, F) -> (B, S, K, N)."""
        return split_chunks(self.bottleneck(self.norm(x.flatten(2))), self.chunk, self.overlap)


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


class Head(nn.Module):
    """Merged chunks, and a linear layer from a frame's features to all of its filters."""

    def __init__(self, features: int, filters: int, start: Sequence[float], overlap: bool) -> None:
        super().__init__()
        self.outputs, self.overlap = len(start), overlap
        self.linear = nn.Linear(features, len(start) * filters)
        with torch.no_grad():
            self.linear.bias.copy_(torch.tensor(start).repeat_interleave(filters))

    def forward(self, state: Tensor, frames: int) -> Tensor:
        """(B, S, K, N) -> (B, L, O, F) with L = ``frames``."""
        return self.linear(merge_chunks(state, frames, self.overlap)).unflatten(-1, (self.outputs, -1))
