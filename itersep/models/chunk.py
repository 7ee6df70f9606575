"""Chunks of a sequence, and back (the segmentation of dual-path networks)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def split_chunks(x: Tensor, chunk: int, overlap: bool = True) -> Tensor:
    """(B, L, N) -> (B, S, K, N): chunks of K = ``chunk`` frames, each starting K/2 after the one before it.

    Zeros are put around the sequence so that every frame lies in exactly two chunks. K must be even. Without
    ``overlap`` each starts where the one before it ends, and only the last has zeros.
    """
    if not overlap:
        return F.pad(x, (0, 0, 0, -x.shape[1] % chunk)).unflatten(1, (-1, chunk))
    batch, frames, features = x.shape
    half = chunk // 2
    after = chunk - 1 - (frames - 1) % half
    halves = F.pad(x, (0, 0, half, after)).view(batch, -1, half, features)  # (B, S + 1, K/2, N)
    return torch.cat([halves[:, :-1], halves[:, 1:]], dim=2)


def merge_chunks(chunks: Tensor, frames: int, overlap: bool = True) -> Tensor:
    """(B, S, K, N) -> (B, L, N) with L = ``frames``: the mean of the chunks that hold each frame, two with overlap.

    The inverse of `split_chunks`. (The usual overlap-add gives twice this, which the next linear layer absorbs.)
    """
    if not overlap:
        return chunks.flatten(1, 2)[:, :frames]
    batch, _, chunk, features = chunks.shape
    half = chunk // 2
    first, second = chunks[:, 1:, :half], chunks[:, :-1, half:]
    return ((first + second) / 2).reshape(batch, -1, features)[:, :frames]
