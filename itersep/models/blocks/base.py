"""What a kind of block brings: its sizes, and the three modules that the separator is made of.

The separator does not look into activations. Each kind lays out time and frequency as it likes, with the batch first
and N features last: the state (B, ..., N).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class BlockSpec:
    """Sizes of a kind of block. Subclasses are frozen dataclasses, each a group of settings of its own.

    Args:
        features: size N of the activations
    """

    features: int = 64

    def __post_init__(self) -> None:
        self.check(features=1)

    @property
    def period(self) -> int:
        """Frames after which the layout repeats: other numbers of frames are padded."""
        return 1

    def check(self, **least: int) -> None:
        """Raise ValueError for a size below its least value."""
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f"{name} must be at least {bound}, not {getattr(self, name)}")

    def make_embedding(self, channels: int, filters: int) -> nn.Module:
        """Representation to state: (B, L, I, F) of I input channels and F filters -> (B, ..., N)."""
        raise NotImplementedError

    def make_block(self) -> nn.Module:
        """A layer of the SIMO and SISO modules: (B, ..., N) -> (B, ..., N)."""
        raise NotImplementedError

    def make_head(self, filters: int, start: Sequence[float]) -> nn.Module:
        """State to what masks are made of: called with (B, ..., N) and frames L -> (B, L, O, F).

        Args:
            filters: number F of filters
            start: the O values that its outputs begin around, in a network that is not trained
        """
        raise NotImplementedError
