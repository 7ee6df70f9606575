"""Pauses of a recording of any length: cut out before it is separated, and put back between the estimates."""

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
import torch

from itersep.models.sound import BLOCK_S, Ear
from itersep.system.errors import UserError

SPAN_S = 30.0  # decided on at a time; what is loud is told from one span more on each side


def hear(blocks: Iterable[np.ndarray], sample_rate: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Spans (n,) of a recording as an `Ear` hears them, and which of their samples are sound, bool.

    ``blocks`` are its samples in pieces of any size. Three spans are held at a time. A span is without sound where
    there is none in those beside it. Raises UserError where a sample is not a finite number.
    """
    block = max(1, round(BLOCK_S * sample_rate))
    ear, nothing = Ear(sample_rate), np.zeros(0, dtype=np.float32)
    before, span = nothing, nothing
    for after in chain(_regroup(blocks, block * round(SPAN_S / BLOCK_S)), [nothing]):
        around = torch.from_numpy(np.concatenate([before, span, after]))
        if len(span):
            clean, sound = ear(around)
            here = slice(len(before), len(before) + len(span))
            yield clean[here].numpy(), (sound & clean.any())[here].numpy()
        before, span = span, after


def _regroup(blocks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Samples in pieces of ``size``, the last of which may be shorter."""
    held, count = [], 0
    for block in blocks:
        if not np.isfinite(block).all():
            raise UserError("the recording holds samples that are not finite numbers; fix it")
        held.append(np.asarray(block, dtype=np.float32))
        count += len(block)
        if count >= size:
            whole = np.concatenate(held)
            yield from (whole[start : start + size] for start in range(0, count - count % size, size))
            held, count = [whole[count - count % size :]], count % size
    if count:
        yield np.concatenate(held)


class Pauses:
    """Cuts the pauses out of a recording, and keeps them until the estimates of what is around them are there."""

    def __init__(self, sources: int) -> None:
        self.sources = sources
        self._wave, self._sound = np.zeros(0, dtype=np.float32), np.zeros(0, dtype=bool)

    def cut(self, spans: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray | None]:
        """The sound of spans as `hear` gives them; None for a span without any."""
        for wave, sound in spans:
            self._wave, self._sound = np.concatenate([self._wave, wave]), np.concatenate([self._sound, sound])
            yield wave[sound] if sound.any() else None

    def fill(self, est: np.ndarray, last: bool) -> np.ndarray:
        """Estimates (C, n) of the next n samples of sound, with the pauses before and between, (C, m).

        In a pause all have an even share of what is there. ``last``: with the pause that follows too.
        """
        places = np.flatnonzero(self._sound)[: est.shape[1]]
        end = len(self._wave) if last else (places[-1] + 1 if len(places) else 0)
        filled = np.repeat(self._wave[None, :end] / np.float32(self.sources), self.sources, axis=0)
        filled[:, places] = est
        self._wave, self._sound = self._wave[end:], self._sound[end:]
        return filled
