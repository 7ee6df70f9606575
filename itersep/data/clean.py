"""One recording made fit for mixing: decoded, resampled, without long silences, at one level."""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from itersep.data.audiofile import open_audio
from itersep.system.errors import UserError

FRAME_S = 0.02  # resolution of the search for silence
ACTIVE_DB = -35.0  # a frame is active within this range of the loudest frame
SILENT_PEAK = 1e-3  # a recording that never rises above this (-60 dBFS) is silent
MIN_ACTIVE_S = 0.1  # less sound than this is a click
LEVEL_DB = -26.0  # root mean square of the active frames, in dB of full scale
MAX_PEAK = 0.9  # the level is lowered where a peak would pass this
FADE_S = 0.005  # at each cut, against clicks

Clip = tuple[int, np.ndarray]  # a recording's index, and its samples (T,) cleaned


class UnusableError(Exception):
    """A recording that is skipped; its text is the reason, short enough to count by."""


def decode(path: Path) -> tuple[np.ndarray, int]:
    """Read any audio file as mono float32 (T,) and its sample rate in Hz. Raises UnusableError."""
    try:
        with open_audio(path) as file:
            return file.read().mean(axis=1), file.sample_rate
    except UserError:
        raise UnusableError("unreadable") from None


def clean(samples: np.ndarray, rate: int, sample_rate: int, max_pause_s: float | None) -> np.ndarray:
    """Resample (T,) at ``rate`` Hz to ``sample_rate`` Hz, cut silence, set the level; float32 (T',).

    Raises UnusableError for silence, for samples that are not finite, and for a lower rate: speech without its upper
    half of the spectrum would be told apart by that alone.
    """
    if rate < sample_rate:
        raise UnusableError(f"sampled at {rate} Hz")
    if not np.isfinite(samples).all():
        raise UnusableError("not finite")
    samples = samples - samples.mean() if samples.size else samples
    if not samples.size or np.abs(samples).max() < SILENT_PEAK:
        raise UnusableError("silent or empty")
    samples = resample(samples, rate, sample_rate)
    frame = round(FRAME_S * sample_rate)
    active = find_active(samples, frame)
    if active.sum() * FRAME_S < MIN_ACTIVE_S:
        raise UnusableError("almost no sound")
    level = np.sqrt(np.mean(samples[: active.size * frame].reshape(-1, frame)[active] ** 2))
    gain = min(10 ** (LEVEL_DB / 20) / level, MAX_PEAK / np.abs(samples).max())
    kept = np.flatnonzero(_near(active, max_pause_s))
    runs = np.split(kept, np.flatnonzero(np.diff(kept) > 1) + 1)
    return splice([samples[run[0] * frame : (run[-1] + 1) * frame] for run in runs], sample_rate) * np.float32(gain)


def resample(samples: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    """Resample (T,) by a windowed sinc. Raises UnusableError for a ratio that has no short form."""
    if rate == sample_rate:
        return samples
    if sample_rate // math.gcd(rate, sample_rate) > 1000:  # the filter has a phase for each step of the ratio
        raise UnusableError(f"sampled at {rate} Hz")
    return _resampler(rate, sample_rate)(torch.from_numpy(samples)).numpy()


@lru_cache(maxsize=16)
def _resampler(rate: int, sample_rate: int) -> torch.nn.Module:
    """torchaudio's: data are known by their bytes, which another library's rounding would change."""
    try:  # here alone: everything else works without it, beside a torch that it does not fit too
        from torchaudio.transforms import Resample
    except (ImportError, OSError) as error:
        raise UserError(
            f"recordings at {rate} Hz are resampled by torchaudio, which cannot be loaded ({error}); install one that "
            f"fits torch {torch.__version__}, or give recordings at {sample_rate} Hz"
        ) from error
    return Resample(rate, sample_rate, lowpass_filter_width=32)


def find_active(samples: np.ndarray, frame: int) -> np.ndarray:
    """Which whole frames of ``frame`` samples lie within ACTIVE_DB of the loudest; bool (L,)."""
    frames = samples[: samples.size // frame * frame].reshape(-1, frame)
    power = np.mean(frames**2, axis=1)
    return power > power.max(initial=0) * 10 ** (ACTIVE_DB / 10)


def _near(active: np.ndarray, max_pause_s: float | None) -> np.ndarray:
    """Frames to keep, bool (L,): those within half a longest pause of an active one, so that pauses shrink to it."""
    frames = np.flatnonzero(active)
    if max_pause_s is None:
        return (np.arange(active.size) >= frames[0]) & (np.arange(active.size) <= frames[-1])
    reach = round(max_pause_s / 2 / FRAME_S)
    return np.convolve(active, np.ones(2 * reach + 1), mode="full")[reach : reach + active.size] > 0


def splice(parts: Sequence[np.ndarray], sample_rate: int) -> np.ndarray:
    """Join signals (T,) end to end, each faded in and out."""
    ramp = np.linspace(0, 1, round(FADE_S * sample_rate), dtype=np.float32)
    faded = []
    for part in parts:
        part, length = part.copy(), min(ramp.size, part.size // 2)
        part[:length] *= ramp[:length]
        part[part.size - length :] *= ramp[:length][::-1]
        faded.append(part)
    return np.concatenate(faded)


def group_clips(clips: Iterable[Clip], min_length: int) -> Iterator[list[Clip]]:
    """Runs of consecutive clips that together reach ``min_length``; a short rest goes to the last run.

    None if all clips together are too short. Runs come as soon as they are known: no more than two are held.
    """
    whole, run, total = [], [], 0
    for clip in clips:
        run.append(clip)
        total += len(clip[1])
        if total >= min_length:
            if whole:
                yield whole
            whole, run, total = run, [], 0
    if whole:
        yield whole + run
