"""Rendering: from the draws of a mixture and the audio to its signals."""

from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy.signal import resample_poly

from itersep.data.audio import PCM_SCALE
from itersep.simulate.clips import Clips
from itersep.simulate.engine import simulate_room
from itersep.simulate.manifest import AnyMixture, DryMixture, Mixture
from itersep.system.errors import UserError

CUT_NORM = 100.0  # L2 norm of every speaker's cut, before levels and rooms
SILENT = 1e-9  # a lower peak is never scaled up
FADE_S = 0.5  # of a dry mixture's noise, where it begins again


@dataclass(frozen=True)
class Rendered:
    """The signals of a mixture, float32 on the grid of 16-bit audio, so that files hold the same bits.

    ``mix`` (T,) is the exact sum of ``ref`` (C, T), the reverberant speakers, and ``noise`` (T,). ``gain`` is the
    factor that all of them were scaled by, 1 where their joint peak is under the limit and may stay there.
    """

    mix: np.ndarray
    ref: np.ndarray
    noise: np.ndarray
    gain: float


def render_mixture(mixture: AnyMixture, speech: Clips, noise: Clips | None) -> Rendered:
    """The signals of a mixture: a pure function of what was drawn, or listed, and the audio.

    Raises UserError for a clip that can't be read, or is at a rate that does not fit, and for an engine that is not
    installed.
    """
    if mixture.noise and noise is None:
        raise UserError(f"mixture '{mixture.id}' has a noise; name the directory that its noises come from")
    if isinstance(mixture, DryMixture):
        parts, gain = _render_dry(mixture, speech, noise)
    else:
        parts, gain = _render_in_room(mixture, speech, noise)
    pcm = np.rint(parts * parts.dtype.type(gain * PCM_SCALE))  # integers, which float32 adds without rounding
    parts = pcm.astype(np.float32) / np.float32(PCM_SCALE)
    ref = parts[: len(mixture.speakers)]
    noise_part = parts[-1] if mixture.noise else np.zeros(mixture.length, dtype=np.float32)
    return Rendered(mix=parts.sum(axis=0), ref=ref, noise=noise_part, gain=float(gain))


def _render_in_room(mixture: Mixture, speech: Clips, noise: Clips | None) -> tuple[np.ndarray, float]:
    """Cut, level, delay and reverberate as the paper's dataset does: float32 (C, T), or (C + 1, T), and the gain.

    An utterance shorter than its cut is followed by silence, a noise shorter than the mixture repeated end to end.
    """
    if speech.sample_rate != mixture.sample_rate:
        raise UserError(
            f"mixture '{mixture.id}' is at {mixture.sample_rate} Hz where {speech.sample_rate} Hz is expected; "
            "simulate the set again"
        )
    dry = np.zeros((len(mixture.sources), mixture.length), dtype=np.float32)
    cuts = _speaker_cuts(mixture, speech)
    for row, cut, delay in zip(dry, cuts, mixture.delays, strict=False):
        row[delay : delay + len(cut)] = cut
    if mixture.noise:
        dry[-1] = _noise_cut(mixture, noise, speech_energy=_energy(cuts.sum(axis=0)))
    room = (mixture.room_m, mixture.t60_s, mixture.positions_m, [mixture.mic_m], mixture.sample_rate)
    wet = convolve(dry, simulate_room(mixture.engine, *room)[:, 0])
    return wet, _gain(mixture, peak=_peak(wet))


def _render_dry(mixture: DryMixture, speech: Clips, noise: Clips | None) -> tuple[np.ndarray, float]:
    """Each clip times its gain, resampled, then cut or padded: float64 (C, T), or (C + 1, T), and the gain.

    A noise lasts as long as the longest utterance (see `extend_noise`). Levels are those of the list; only what would
    clip as 16-bit audio is scaled down. The definition is LibriMix's (scripts/create_librimix_from_metadata.py).
    """
    clips = [speech.read(source.utt, 0, -1) for source in mixture.speakers]
    if mixture.noise:
        length = max(map(len, clips))
        samples = noise.read(mixture.noise.utt, 0, length)
        clips.append(extend_noise(samples, length, round(FADE_S * noise.sample_rate), mixture.noise.utt))
    parts = np.zeros((len(clips), mixture.length))
    for row, samples, source in zip(parts, clips, mixture.sources, strict=True):
        scaled = resample_poly(samples * np.float64(source.gain), mixture.sample_rate, speech.sample_rate)[: len(row)]
        row[: len(scaled)] = scaled
    limit = 1.0 - len(parts) / PCM_SCALE  # each part is rounded before they are summed
    return parts, min(1.0, limit / max(_peak(parts), SILENT))


def extend_noise(samples: np.ndarray, length: int, fade: int, utt: str) -> np.ndarray:
    """(T,) for ``length`` samples at least, then cut to them: where the noise ends, it begins again.

    Its end and its beginning overlap by ``fade`` + 1 samples, under the halves of a Hann window. Raises UserError for
    a noise too short to be faded, calling it ``utt``.
    """
    if len(samples) < length and len(samples) < 2 * (fade + 1):
        raise UserError(f"noise '{utt}' has only {len(samples)} samples, too few to be repeated; leave it out")
    window = np.hanning(2 * fade + 1)
    rise, fall = window[: fade + 1], window[fade:]
    extended = samples.astype(np.float64)
    while len(extended) < length:
        seam = extended[-len(fall) :] * fall + samples[: len(rise)] * rise
        extended = np.concatenate([extended[: -len(fall)], seam, samples[len(rise) :]])
    return extended[:length]


def convolve(signals: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Each of (N, T) with its own of (N, n), the first T samples, in float32, by overlap-save.

    One transform size that is a power of two serves all lengths of the paper's responses; general routines pick odd
    sizes that take twice the time.
    """
    n = filters.shape[1]
    size = max(16384, 2 * 2 ** (n - 1).bit_length())
    step = size - (n - 1)  # of a block's samples, the first n - 1 are wrapped around
    blocks = -(-signals.shape[1] // step)
    padded = np.zeros((len(signals), n - 1 + blocks * step), dtype=np.float32)
    padded[:, n - 1 : n - 1 + signals.shape[1]] = signals
    windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=1)[:, ::step]  # (N, blocks, size)
    spectra = fft.rfft(windows) * fft.rfft(filters, size)[:, None]
    return fft.irfft(spectra, size)[:, :, n - 1 :].reshape(len(signals), -1)[:, : signals.shape[1]]


def _speaker_cuts(mixture: Mixture, speech: Clips) -> np.ndarray:
    """(C, cut) the speakers at their levels, not yet delayed."""
    cuts = np.zeros((len(mixture.speakers), mixture.cut_length), dtype=np.float32)
    for row, speaker in zip(cuts, mixture.speakers, strict=True):
        samples = speech.read(speaker.utt, speaker.start, len(row))
        row[: len(samples)] = _scale(samples, CUT_NORM**2 * 10.0 ** (speaker.level_db / 10.0))
    return cuts


def _noise_cut(mixture: Mixture, noise: Clips, speech_energy: float) -> np.ndarray:
    """(T,) the noise at its level below the speech."""
    samples = noise.read(mixture.noise.utt, mixture.noise.start, mixture.length)
    return _scale(np.resize(samples, mixture.length), speech_energy * 10.0 ** (-mixture.noise.snr_db / 10.0))


def _gain(mixture: Mixture, peak: float) -> float:
    if peak < SILENT or (peak <= mixture.peak_limit and not mixture.scale_to_peak):
        return 1.0
    return mixture.peak_limit / peak


def _peak(parts: np.ndarray) -> float:
    """The largest sample of any part, or of their sum."""
    return max(np.abs(parts).max(), np.abs(parts.sum(axis=0)).max())


def _energy(samples: np.ndarray) -> float:
    return float(np.sum(np.square(samples, dtype=np.float64)))


def _scale(samples: np.ndarray, energy: float) -> np.ndarray:
    """Scaled to ``energy`` (sum of squares); silence stays silence."""
    present = _energy(samples)
    return samples * np.float32(np.sqrt(energy / present)) if present > 0.0 else samples
