"""The separator's parts: SIMO (mixture and bias to C feature maps), SISO (refines each map), and the mask layer.

SIMO and SISO are the terms of Luo et al., "Rethinking the separation layers in speech separation networks" (2021).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from itersep.models.chunk import merge_chunks, split_chunks
from itersep.models.dprnn import DPRNNBlock, GlobalNorm


@dataclass(frozen=True)
class SeparatorSpec:
    """Sizes of the separator; the defaults are the paper's time-domain ones (section 3.2, Table 1).

    Args:
        simo_blocks: DPRNN blocks before the sources are split
        siso_blocks: DPRNN blocks after it, applied to each source with shared weights; 0: masks straight from SIMO
        features: size N of the bottleneck
        hidden: LSTM units a direction
        chunk: chunk length K in frames, even (100 for the learned filterbank, 24 for the STFT)
        recompute: compute activations again in the backward pass: less memory, more time (docs/performance.md says how
            much of each), the same results
    """

    simo_blocks: int = 1
    siso_blocks: int = 2
    features: int = 64
    hidden: int = 128
    chunk: int = 100
    recompute: bool = False

    def __post_init__(self) -> None:
        for name, least in (("simo_blocks", 1), ("siso_blocks", 0), ("features", 1), ("hidden", 1), ("chunk", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"separator.{name} must be at least {least}, not {getattr(self, name)}")
        if self.chunk % 2:
            raise ValueError(f"separator.chunk must be even, not {self.chunk}: chunks overlap by half")


def make_blocks(spec: SeparatorSpec, count: int) -> nn.ModuleList:
    """So many DPRNN blocks of the sizes of ``spec``."""
    return nn.ModuleList(DPRNNBlock(spec.features, spec.hidden, spec.recompute) for _ in range(count))


class Simo(nn.Module):
    """Single input, multiple output: stacked encodings of mixture and bias to one feature map a source."""

    def __init__(self, spec: SeparatorSpec, inputs: int, sources: int) -> None:
        super().__init__()
        self.sources, self.chunk = sources, spec.chunk
        self.norm = GlobalNorm(inputs)
        self.bottleneck = nn.Linear(inputs, spec.features)
        self.blocks = make_blocks(spec, spec.simo_blocks)
        self.split = nn.Linear(spec.features, sources * spec.features)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, inputs) -> (B * C, S, K, N)."""
        x = split_chunks(self.bottleneck(self.norm(x)), self.chunk)  # (B, S, K, N)
        for block in self.blocks:
            x = block(x)
        maps = self.split(x).unflatten(-1, (self.sources, -1))  # (B, S, K, C, N)
        return maps.permute(0, 3, 1, 2, 4).flatten(0, 1)


class Siso(nn.Module):
    """Single input, single output: each source's map refined on its own, by weights that all sources share."""

    def __init__(self, spec: SeparatorSpec) -> None:
        super().__init__()
        self.blocks = make_blocks(spec, spec.siso_blocks)

    def layers(self, maps: Tensor) -> Iterator[Tensor]:
        """Yield the maps (B * C, S, K, N) after each block; the maps themselves where there is none."""
        if not self.blocks:
            yield maps
        for block in self.blocks:
            maps = block(maps)
            yield maps


class MaskLayer(nn.Module):
    """Feature map to a nonnegative mask: merged chunks, linear, ReLU; one for all sources, layers and iterations.

    Masks start around 1 / C, an even share of the mixture for each source. Around zero, half of them would be cut off
    by the ReLU, and the estimates would be worse than the mixture until the network has found the way back.
    """

    def __init__(self, features: int, filters: int, sources: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, filters)
        nn.init.constant_(self.linear.bias, 1 / sources)

    def forward(self, maps: Tensor, sources: int, frames: int) -> Tensor:
        """(B * C, S, K, N) -> (B, C, F, L)."""
        masks = torch.relu(self.linear(merge_chunks(maps, frames)))  # (B * C, L, F)
        return masks.transpose(1, 2).unflatten(0, (-1, sources))
