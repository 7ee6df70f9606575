"""The separator's parts: SIMO (mixture and bias to C feature maps) and SISO (refines each map).

The terms are those of Luo et al., "Rethinking the separation layers in speech separation networks" (2021). What
activations look like is the block's own business (`itersep.models.blocks.base`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from itersep.models.blocks import BlockSpec


@dataclass(frozen=True)
class SeparatorSpec:
    """How many blocks there are; the defaults are the paper's (Table 1).

    Args:
        simo_blocks: blocks before the sources are split
        siso_blocks: blocks after it, applied to each source with shared weights; 0: masks straight from SIMO
    """

    simo_blocks: int = 1
    siso_blocks: int = 2

    def __post_init__(self) -> None:
        for name, least in (("simo_blocks", 1), ("siso_blocks", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"separator.{name} must be at least {least}, not {getattr(self, name)}")


class Simo(nn.Module):
    """Single input, multiple output: stacked representations of mixture and bias to one feature map a source."""

    def __init__(
        self, blocks: int, block: BlockSpec, channels: int, inputs: int, sources: int, takes_state: bool
    ) -> None:
        super().__init__()
        self.sources = sources
        self.embedding = block.make_embedding(channels, inputs)
        self.blocks = nn.ModuleList(block.make_block() for _ in range(blocks))
        self.split = nn.Linear(block.features, sources * block.features)
        if takes_state:
            self.reenter = nn.Linear(sources * block.features, block.features)

    def forward(self, x: Tensor, state: Tensor | None = None) -> Tensor:
        """(B, L, I, F), and maps (B * C, ..., N) of the iteration before or None, -> maps (B * C, ..., N)."""
        x = self.embedding(x)  # (B, ..., N)
        if state is not None:
            x = x + self.reenter(state.unflatten(0, (-1, self.sources)).movedim(1, -2).flatten(-2))
        for block in self.blocks:
            x = block(x)
        return self.split(x).unflatten(-1, (self.sources, -1)).movedim(-2, 1).flatten(0, 1)


class Siso(nn.Module):
    """Single input, single output: each source's map refined on its own, by weights that all sources share."""

    def __init__(self, blocks: int, block: BlockSpec) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(block.make_block() for _ in range(blocks))

    def layers(self, maps: Tensor) -> Iterator[Tensor]:
        """Yield the maps (B * C, ..., N) after each block; the maps themselves where there is none."""
        if not self.blocks:
            yield maps
        for block in self.blocks:
            maps = block(maps)
            yield maps
