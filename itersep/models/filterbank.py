"""Waveform to time-frequency representation and back: a learned filterbank, or the STFT.

Both are a strided convolution and a transposed one; they differ in where the filters come from. A representation has
shape (..., P, F, L): P parts (1 real, or 2: real and imaginary), F filters, L frames. One real mask (..., F, L)
multiplies every part, so that for the STFT the mixture's phase goes through unchanged.

Signals are padded with zeros so that each sample lies in every window that can hold it; `decode` cuts the padding off.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MIN_POWER = 1e-12  # magnitudes stay above its square root: the gradient of a square root at zero is infinite


@dataclass(frozen=True)
class FilterbankSpec:
    """The filterbank of an experiment; the defaults are the paper's time-domain ones (section 3.2).

    The stft has no sizes of its own, since they depend on the sample rate: a training must name them.

    Args:
        kind: learned (encoder and decoder trained with the network) or stft (magnitude in, the mixture's phase out)
        filters: number of filters F; for the stft the FFT size is 2 (F - 1)
        window: window length in samples
        hop: shift between windows in samples
        features: what the separator sees: magnitude (of learned filters their outputs), or complex (for the stft: real
            and imaginary parts, and the magnitude)
    """

    kind: Literal["learned", "stft"] = "learned"
    filters: int = 128
    window: int = 32
    hop: int = 16
    features: Literal["magnitude", "complex"] = "magnitude"

    @property
    def inputs(self) -> int:
        """Values a frame that the separator sees."""
        return self.filters * (3 if self.features == "complex" else 1)

    def __post_init__(self) -> None:
        if not 0 < self.hop <= self.window:
            raise ValueError(f"filterbank.hop must lie between 1 and filterbank.window ({self.window}), not {self.hop}")
        if self.filters < 1:
            raise ValueError(f"filterbank.filters must be at least 1, not {self.filters}")
        if self.kind == "stft" and 2 * (self.filters - 1) < self.window:
            raise ValueError(
                f"filterbank.filters is {self.filters}; the stft needs at least window/2 + 1 = {self.window // 2 + 1}"
            )
        if self.kind == "stft" and (self.window % self.hop or self.hop == self.window):
            raise ValueError(
                f"filterbank.hop is {self.hop}; for the stft it must divide filterbank.window ({self.window}), and "
                "be at most half of it"
            )
        if self.kind == "learned" and self.features == "complex":
            raise ValueError("filterbank.features is complex, which needs the stft, not the learned filterbank")


def make_filterbank(spec: FilterbankSpec) -> "Filterbank":
    """Build the filterbank that ``spec`` describes."""
    return LearnedFilterbank(spec) if spec.kind == "learned" else STFT(spec)


class Filterbank(nn.Module):
    """What both filterbanks share. Subclasses hold `analysis` and `synthesis` filters of shape (P * F, 1, W).

    The arithmetic keeps the filters' own precision under autocast: it is a small part of the work, and the mixture's
    own representation is what comes out where the mask is one.
    """

    parts: int
    analysis: Tensor
    synthesis: Tensor

    def __init__(self, spec: FilterbankSpec) -> None:
        super().__init__()
        self.spec = spec

    def encode(self, wave: Tensor) -> Tensor:
        """(..., T) -> (..., P, F, L), any T >= 1."""
        length, window, hop = wave.shape[-1], self.spec.window, self.spec.hop
        frames = (length + window - 1) // hop
        before = window - hop
        after = (frames - 1) * hop + window - before - length
        with torch.autocast(wave.device.type, enabled=False):
            padded = F.pad(wave.to(self.analysis.dtype).reshape(-1, 1, length), (before, after))
            encoded = F.conv1d(padded, self.analysis, stride=hop)
        return encoded.view(*wave.shape[:-1], self.parts, self.spec.filters, frames)

    def decode(self, encoded: Tensor, length: int) -> Tensor:
        """(..., P, F, L) -> (..., T) with T = ``length``, the length that was encoded."""
        with torch.autocast(encoded.device.type, enabled=False):
            flat = encoded.to(self.synthesis.dtype).reshape(-1, self.parts * self.spec.filters, encoded.shape[-1])
            wave = F.conv_transpose1d(flat, self.synthesis, stride=self.spec.hop)
        before = self.spec.window - self.spec.hop
        return wave[:, 0, before : before + length].reshape(*encoded.shape[:-3], length)

    def features(self, encoded: Tensor) -> Tensor:
        """What the separator sees of a representation: (..., P, F, L) -> (..., `spec.inputs`, L)."""
        raise NotImplementedError


class LearnedFilterbank(Filterbank):
    """Filters learned with the network; no bias, no nonlinearity (P = 1)."""

    parts = 1

    def __init__(self, spec: FilterbankSpec) -> None:
        super().__init__(spec)
        self.analysis = nn.Parameter(torch.empty(spec.filters, 1, spec.window))
        self.synthesis = nn.Parameter(torch.empty(spec.filters, 1, spec.window))
        bound = spec.window**-0.5  # what Conv1d starts with
        nn.init.uniform_(self.analysis, -bound, bound)
        nn.init.uniform_(self.synthesis, -bound, bound)

    def features(self, encoded: Tensor) -> Tensor:
        """The filters' outputs: (..., 1, F, L) -> (..., F, L)."""
        return encoded.squeeze(-3)


class STFT(Filterbank):
    """Short-time Fourier transform with a Hann window and its least-squares inverse, as real filters (P = 2).

    As convolutions rather than FFTs the transform is a few per cent of the network's work, runs wherever a
    convolution does, and needs no complex numbers.
    """

    parts = 2

    def __init__(self, spec: FilterbankSpec) -> None:
        super().__init__(spec)
        size = 2 * (spec.filters - 1)
        time = torch.arange(spec.window, dtype=torch.float64)
        bins = torch.arange(spec.filters, dtype=torch.float64)
        phase = 2 * torch.pi / size * bins[:, None] * time[None, :]
        basis = torch.cat([phase.cos(), -phase.sin()])  # (2F, W): real parts, then imaginary parts
        weight = torch.full((spec.filters,), 2.0, dtype=torch.float64)
        weight[0] = weight[-1] = 1.0  # a real signal's other bins stand for themselves and their conjugates
        window = torch.hann_window(spec.window, dtype=torch.float64)
        overlap = window.square().view(-1, spec.hop).sum(0).repeat(spec.window // spec.hop)
        inverse = basis * weight.repeat(2)[:, None] / size * window / overlap
        self.register_buffer("analysis", (basis * window).float()[:, None], persistent=False)
        self.register_buffer("synthesis", inverse.float()[:, None], persistent=False)

    def features(self, encoded: Tensor) -> Tensor:
        """Magnitudes, or parts and magnitudes: (..., 2, F, L) -> (..., F, L) or (..., 3 F, L)."""
        magnitude = encoded.square().sum(-3).clamp_min(MIN_POWER).sqrt()
        if self.spec.features == "magnitude":
            return magnitude
        return torch.cat([encoded.flatten(-3, -2), magnitude], dim=-2)
