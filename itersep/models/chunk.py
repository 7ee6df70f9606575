"""Half-overlapping chunks of a sequence, and back (the segmentation of dual-path networks)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def split_chunks(x: Tensor, chunk: int) -> Tensor:
    """(B, L, N) -> (B, S, K, N): chunks of K = ``chunk`` frames, each starting K/2 after the one before it.

    Zeros are put around the sequence so that every frame lies in exactly two chunks. K must be even.
    """
    batch, frames, features = x.shape
    half = chunk // 2
    after = chunk - 1 - (frames - 1) % half
    halves = F.pad(x, (0, 0, half, after)).view(batch, -1, half, features)  # (B, S + 1, K/2, N)
    return torch.cat([halves[:, :-1], halves[:, 1:]], dim=2)


def merge_chunks(chunks: Tensor, frames: int) -> Tensor:
    """(B, S, K, N) -> (B, L, N) with L = ``frames``: the mean of the two chunks that hold each frame.

    The inverse of `split_chunks`. (The usual overlap-add gives twice this, which the next linear layer absorbs.)
    """
    batch, _, chunk, features = chunks.shape
    half = chunk // 2
    first, second = chunks[:, 1:, :half], chunks[:, :-1, half:]
    return ((first + second) / 2).reshape(batch, -1, features)[:, :frames]
