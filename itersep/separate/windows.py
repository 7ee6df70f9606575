"""Recordings of any length: cut into overlapping windows, and their estimates joined, each speaker in one place.

A network gives the speakers of each window in an order of its own. Two things tell which is which:

* the overlap: there both windows estimate the same samples, and estimates of one speaker correlate;
* the voices: the average spectrum that each output has had so far, which says nothing of who speaks, only how the
  speakers of this recording differ. It decides where nobody spoke in the overlap.

Both are cosines, added up, and the best permutation of their sum is taken. docs/separating.md has the figures that
this was chosen by.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from itersep.losses.pit import best_permutation

VOICE_WEIGHT = 2.0  # of the voices' cosines; that of the overlap's is at most 1
QUIET = 0.01  # an overlap or window of this power, relative to the recording so far, has half of its weight (-20 dB)
SHORTEST_S = 0.5  # window
FRAME_S = 0.032  # of the voices' spectra
BANDS = 40  # mel bands up to
HIGHEST_HZ = 8000.0
FLOOR = 1e-4  # added to each band's power, relative to the mean band
ALIKE = BANDS * 0.23**2  # voices whose bands differ by 1 dB say half of what theirs would
TINY = 1e-20  # keeps logarithms and quotients of silence finite


@dataclass(frozen=True)
class WindowSpec:
    """Windows of a recording.

    Args:
        length_s: seconds of sound; longer ones hold more speech to tell the voices by, shorter ones are more like what
            networks are trained on
        overlap_s: what a window shares with the next; None: half of it
    """

    length_s: float = 8.0
    overlap_s: float | None = None

    def __post_init__(self) -> None:
        if self.length_s < SHORTEST_S:
            raise ValueError(f"windows of {self.length_s:g} s are too short; take at least {SHORTEST_S:g} s")
        if self.overlap_s is None:
            object.__setattr__(self, "overlap_s", self.length_s / 2)  # frozen for everyone else
        if not 0 < self.overlap_s <= self.length_s / 2:
            raise ValueError(
                f"windows of {self.length_s:g} s cannot overlap by {self.overlap_s:g} s: it must be above 0 and at "
                "most half of the window"
            )

    def samples(self, sample_rate: float) -> tuple[int, int]:
        """Length and overlap in samples, at least 2 and 1."""
        return max(2, round(self.length_s * sample_rate)), max(1, round(self.overlap_s * sample_rate))


def cut_windows(blocks: Iterable[np.ndarray | None], length: int, overlap: int) -> Iterator[tuple[np.ndarray, bool]]:
    """Windows (T,) of ``length`` that begin ``length - overlap`` apart, and whether each is the last of its stretch.

    ``blocks`` are samples in pieces of any size, and no more than a window and a block are held. A None among them
    ends a stretch: what follows does not overlap with what came before. The last window of a stretch is longer than
    ``overlap`` unless it is the only one, and empty where the stretch is.
    """
    held = nothing = np.zeros(0, dtype=np.float32)
    for block in blocks:
        if block is None:
            yield held, True
            held = nothing
            continue
        held = np.concatenate([held, np.asarray(block, dtype=np.float32)])
        while len(held) > length:
            yield held[:length], False
            held = held[length - overlap :]
    yield held, True


class Stitcher:
    """Joins the estimates of windows that overlap by ``overlap`` samples; the order is that of the first window."""

    def __init__(self, overlap: int, sample_rate: int) -> None:
        self.voices = Voices(sample_rate)
        self.overlap = overlap
        self._tail: Tensor | None = None

    def join(self, est: Tensor, last: bool) -> Tensor:
        """The next window's estimates (C, T) to the samples (C, n) that are done, all of them if it is the ``last``.

        After the last of a stretch comes the first of another, whose speakers are told by their voices alone.
        """
        if not est.shape[-1]:
            return est
        spectra = self.voices.measure(est)
        tail, overlap = self._tail, self.overlap
        if self.voices.windows:
            head = est[:, :overlap]
            order = best_permutation(self.match(head, torch.zeros_like(head) if tail is None else tail, spectra)[None])
            est, spectra = est[order[0]], spectra[order[0]]
        if tail is not None:
            fade = (torch.arange(overlap) + 0.5) / overlap
            faded = tail + fade * (est[:, :overlap] - tail)  # exact where both are equal
            est = torch.cat([faded, est[:, overlap:]], dim=1)
        self.voices.add(spectra, est)
        self._tail = None if last else est[:, -overlap:]
        if last:
            return est
        return est[:, :-overlap]

    def match(self, head: Tensor, tail: Tensor, spectra: Tensor) -> Tensor:
        """How well new estimates fit the carried ones, (C, C): of estimate i with speaker j.

        Args:
            head: (C, overlap) the first samples of the new window
            tail: (C, overlap) the same samples in the window before
            spectra: (C, BANDS) of the new window
        """
        loud = tail.square().sum(0).mean()
        weight = loud / (loud + QUIET * self.voices.power).clamp_min(TINY)
        norm = (head.square().sum() * tail.square().sum()).sqrt().clamp_min(TINY)
        return weight * (head @ tail.T) / norm + VOICE_WEIGHT * self.voices.compare(spectra)


class Voices:
    """The average spectrum of each speaker so far, and how well new spectra fit."""

    def __init__(self, sample_rate: int) -> None:
        frame = max(8, round(FRAME_S * sample_rate))
        highest = min(HIGHEST_HZ, sample_rate / 2)
        self._window = torch.hann_window(frame)
        self._bands = mel_bands(frame, sample_rate, highest)
        self._sum: Tensor | float = 0.0
        self._energy, self._length, self.windows = 0.0, 0, 0

    @property
    def power(self) -> float:
        """Mean power of all speakers together."""
        return self._energy / max(1, self._length)

    def measure(self, est: Tensor) -> Tensor:
        """Average power spectra (C, BANDS) of estimates (C, T)."""
        frame = len(self._window)
        spectrum = torch.stft(est, frame, frame // 2, window=self._window, pad_mode="constant", return_complex=True)
        return spectrum.abs().square().mean(-1) @ self._bands

    def add(self, spectra: Tensor, est: Tensor) -> None:
        """Remember a window: its spectra (C, BANDS) and estimates (C, T) in the order of the speakers."""
        self._sum = self._sum + spectra
        self.windows += 1
        self._energy += float(est.square().sum())
        self._length += est.shape[-1]

    def compare(self, spectra: Tensor) -> Tensor:
        """Cosines (C, C) of spectra i with voices j, in decibels and less what all voices have in common.

        Levels are left out: a speaker may turn away. Each spectrum has as much to say as its share of the amplitude,
        since that of an estimate in which nobody speaks is that of the noise. Voices that are alike decide nothing.
        """
        known = self._sum / self.windows
        floor = FLOOR * known.sum(0).mean() + TINY
        common = _shape(known, floor).mean(0)
        old, new = (_shape(power, floor) - common for power in (known, spectra))
        share = spectra.sum(1).sqrt()
        share = share / (share.sum() + (QUIET * known.sum()).sqrt() + TINY)
        return share[:, None] * (new @ old.T) / (new.norm(dim=1)[:, None] * old.norm(dim=1) + ALIKE)


def mel_bands(frame: int, sample_rate: float, highest_hz: float) -> Tensor:
    """Weights (F, BANDS) of an FFT's bins in triangular bands of equal area, evenly spaced in mel up to ``highest_hz``.

    mel = 2595 log10(1 + hz / 700). A band narrower than the space between two bins may have none.
    """
    highest_mel = 2595 * math.log10(1 + highest_hz / 700)
    edges = 700 * (10 ** (torch.linspace(0, highest_mel, BANDS + 2, dtype=torch.float64) / 2595) - 1)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    bins = torch.linspace(0, sample_rate / 2, frame // 2 + 1, dtype=torch.float64)[:, None]
    slopes = torch.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)).clamp_min(0)
    return (slopes * 2 / (high - low)).float()


def _shape(power: Tensor, floor: Tensor) -> Tensor:
    """Logarithms of spectra (C, BANDS), each less its mean."""
    logs = (power + floor).log()
    return logs - logs.mean(1, keepdim=True)
