"""What a trained network is given of a recording: its sound, without what lies below the voice and without pauses.

A network that was trained on seconds that are never silent falls apart where most of what it is given is a pause, or
where an offset or hum is stronger than the voices. Both are kept from it here, in torch, so that the separation of
data, of recordings and the ONNX export have the same; training has neither, and goes without.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy.signal import firwin, kaiserord
from torch import Tensor, nn

from itersep.models.iterative import IterativeSeparator

OFFSET_HZ = 10.0  # below: an offset, which is always taken away
VOICE_HZ = 68.0  # above: voices; between hum of 60 Hz and the lowest of them
SLOPES_HZ = {OFFSET_HZ: 10.0, VOICE_HZ: 16.0}  # from what is taken away to what is left
RIPPLE_DB = 46.0  # of the low-pass that is taken away
STRONG_DB = -15.0  # hum and rumble over the rest of the sound, from which on they are taken away
BLOCK_S = 0.016  # for which it is decided whether there is sound
LOUD_S = 0.5  # the loudest time so long is what blocks are compared with; a slam or a click is shorter
PAUSE_DB = -28.0  # a block's level over that of the loudest time, below which it may be of a pause
PAUSE_S = 0.6  # shorter pauses are kept
EDGE_DB = -35.0  # below this, a recording has not begun yet, or is over, however short the time
PEAK = 0.9  # of what the network is given: the loudest that its training mixtures are
FAINTEST = 1e-3  # a peak from which on it is brought to PEAK in full; fainter ones are amplified as much


class HighPass(nn.Module):
    """What lies above a frequency of `SLOPES_HZ`; linear phase, no delay.

    It subtracts a low-pass, which is computed at every ``hop``-th sample and interpolated by the same filter. At both
    ends the filter has the samples that there are, with weights that add up to one, so that an offset goes whole.
    """

    taps: Tensor  # (1, 1, n)

    def __init__(self, cutoff_hz: float, sample_rate: int) -> None:
        super().__init__()
        self.hop = max(1, int(sample_rate / (8 * cutoff_hz)))
        taps = torch.ones(1)  # at so low a rate, nothing lies above
        if sample_rate > 2 * (cutoff_hz + SLOPES_HZ[cutoff_hz]):
            count, beta = kaiserord(RIPPLE_DB, SLOPES_HZ[cutoff_hz] / (sample_rate / 2))
            taps = torch.from_numpy(firwin(count | 1, cutoff_hz, window=("kaiser", beta), fs=sample_rate)).float()
        self.register_buffer("taps", taps[None, None], persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """(B, T) -> (B, T)."""
        return wave - self._smooth(wave) / self._smooth(torch.ones_like(wave))

    def _smooth(self, wave: Tensor) -> Tensor:
        half, length = self.taps.shape[-1] // 2, wave.shape[-1]
        padded = F.pad(wave[:, None], (half, half + self.hop))  # one frame past the end, to interpolate up to it
        frames = F.conv1d(padded, self.taps, stride=self.hop)
        return F.conv_transpose1d(frames, self.taps, stride=self.hop)[:, 0, half : half + length]


class Ear(nn.Module):
    """Hears a recording: takes away what lies below the voices and is strong, and finds where there is sound.

    An offset goes always; preparation takes it out of the data that networks are trained with. Hum of the mains and
    rumble go where they are stronger than in such data. Weaker ones harm nothing, and may belong to what is recorded:
    a reference of LibriSpeech has up to -12 dB of them.
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.offset, self.low = HighPass(OFFSET_HZ, sample_rate), HighPass(VOICE_HZ, sample_rate)

    def forward(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """(T,) -> what is left of it, (T,), and which of its samples are sound, (T,) bool."""
        level = self.offset(wave[None])
        voices = self.low(level)[0]
        low = level[0] - voices
        sound = find_sound(voices, self.sample_rate)
        strong = (low * sound).square().sum() > 10 ** (STRONG_DB / 10) * (voices * sound).square().sum()
        return voices + low * ~strong, sound


def find_sound(wave: Tensor, sample_rate: int) -> Tensor:
    """Which samples of (T,) belong to sound, (T,) bool, and not to a pause; all of them where all are zero.

    The level of each block is compared with the loudest time of `LOUD_S`, which does not depend on how much silence
    there is. A pause has `PAUSE_S` or more below `PAUSE_DB`; what comes before the first and after the last block above
    `EDGE_DB` is one too.
    """
    length, block = wave.shape[0], max(1, round(BLOCK_S * sample_rate))
    blocks = F.pad(wave, (0, (-length) % block)).view(1, -1, block)
    level = blocks.square().mean(-1).sqrt()  # (1, L)
    many = round(LOUD_S / BLOCK_S)
    loudest = F.avg_pool1d(F.pad(level, (many - 1, many - 1)), many, stride=1).max()
    loud, heard = ((level >= loudest * 10 ** (db / 20)).to(wave.dtype) for db in (PAUSE_DB, EDGE_DB))
    reach = round(PAUSE_S / BLOCK_S / 2)
    joined = _widen(F.pad(loud, (reach, reach), value=1.0), reach)
    joined = -_widen(-joined, reach)[:, reach:-reach]
    inside = heard.cumsum(-1) * heard.flip(-1).cumsum(-1).flip(-1)
    return (joined * inside > 0)[0, torch.arange(length, device=wave.device) // block]


def _widen(x: Tensor, reach: int) -> Tensor:
    """The largest of ``reach`` values on each side, (1, L) -> (1, L)."""
    return F.max_pool1d(x, 2 * reach + 1, stride=1, padding=reach)


def find_gain(sound: Tensor) -> Tensor:
    """The factor that brings a signal to the level that networks are trained at; a faint one not in full."""
    return PEAK / sound.abs().max().clamp_min(FAINTEST)


class Cut(NamedTuple):
    """A recording's sound, cut out of it, and what it takes to put estimates in its place."""

    sound: Tensor  # (1, N), at the level that networks are trained at
    places: Tensor  # (N,) the samples of the recording that it is
    gain: Tensor  # () the factor that brought it to that level
    shares: Tensor  # (1, C, T) what the estimates are in pauses: an even share of what is left of the recording


class SoundOnly(nn.Module):
    """A trained network that is given the sound of a recording alone.

    Args:
        network: in evaluation mode
    """

    def __init__(self, network: IterativeSeparator) -> None:
        super().__init__()
        self.network, self.ear = network, Ear(network.sample_rate)

    def iterate(self, mix: Tensor, iterations: int | None = None) -> Iterator[list[Tensor]]:
        """Yield the estimates [(1, C, T)] of one recording (1, T) after each iteration, as the network does."""
        cut = self.cut(mix)
        for layers in self.network.iterate(cut.sound, iterations):
            yield [self.fill(layers[-1], *cut[1:])]

    def forward(self, mix: Tensor, iterations: int | None = None) -> Tensor:
        """Estimates of the last iteration: (1, T) -> (1, C, T)."""
        for layers in self.iterate(mix, iterations):
            last = layers[-1]
        return last

    def cut(self, mix: Tensor) -> Cut:
        """Cut the sound out of a recording (1, T)."""
        clean, is_sound = self.ear(mix[0])
        places = is_sound.nonzero()[:, 0]
        torch._check(places.shape[0] > 0)  # for export, which cannot know that there is sound
        gain = find_gain(clean[places])
        shares = (clean / self.network.sources).repeat(1, self.network.sources, 1)
        return Cut(clean[None, places] * gain, places, gain, shares)

    @staticmethod
    def fill(est: Tensor, places: Tensor, gain: Tensor, shares: Tensor) -> Tensor:
        """Put estimates (1, C, N) of a cut's sound in its place: (1, C, T)."""
        return shares.index_copy(2, places, est / gain)
