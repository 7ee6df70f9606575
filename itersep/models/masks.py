"""Kinds of masks by name: how the head's outputs act on the mixture's representation.

A new one is a class here and a line in `MASKS` (docs/extending.md).
"""

from collections.abc import Sequence

import torch
from torch import Tensor


class Mask:
    """A kind of mask; it has no weights of its own."""

    parts: int | None = None  # of the filterbanks that it works on; None: any

    def start(self, sources: int) -> Sequence[float]:
        """The O outputs a filter that an untrained head begins around: an even share of the mixture for each source."""
        raise NotImplementedError

    def apply(self, outputs: Tensor, encoded: Tensor) -> Tensor:
        """Outputs (B, C, O, F, L) and the mixture's (B, 1, P, F, L) -> each source's (B, C, P, F, L)."""
        raise NotImplementedError


class RealMask(Mask):
    """One nonnegative factor for all parts, so that the mixture's phase goes through unchanged.

    It starts at 1 / C. Around zero, half of the masks would be cut off by the ReLU, and the estimates would be worse
    than the mixture until the network has found the way back.
    """

    def start(self, sources: int) -> Sequence[float]:
        """Begin at 1 / C."""
        return [1 / sources]

    def apply(self, outputs: Tensor, encoded: Tensor) -> Tensor:
        """Multiply by the outputs, as far as they are positive."""
        return torch.relu(outputs) * encoded


class ComplexMask(Mask):
    """A complex factor, which scales and turns; for the STFT, whose two parts are real and imaginary."""

    parts = 2

    def start(self, sources: int) -> Sequence[float]:
        """Begin at 1 / C, real."""
        return [1 / sources, 0.0]

    def apply(self, outputs: Tensor, encoded: Tensor) -> Tensor:
        """Multiply by the two outputs as a complex number."""
        (mask_re, mask_im), (mix_re, mix_im) = outputs.unbind(2), encoded.unbind(2)  # each (B, C or 1, F, L)
        return torch.stack([mask_re * mix_re - mask_im * mix_im, mask_re * mix_im + mask_im * mix_re], dim=2)


MASKS: dict[str, type[Mask]] = {
    "real": RealMask,
    "complex": ComplexMask,
}
