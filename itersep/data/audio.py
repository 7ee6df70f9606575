"""Reading and writing audio files. Signals are float32 in [-1, 1), shape (T,)."""

import io
import os
from pathlib import Path

import numpy as np
import soundfile

from itersep.errors import UserError
from itersep.files import write_aside
from itersep.signals import held_signals

PCM_SCALE = 32768  # a 16-bit sample n stands for n / 32768
LARGEST = 1 - 1 / PCM_SCALE  # the largest sample that 16 bits hold
PEAK = 0.99  # the largest sample of what had to be scaled down
WAV_HEADER = 44  # bytes before the samples of a 16-bit mono file
RESAMPLE = "resample it"  # what can be done about a file of another rate, where nothing else can


def audio_length(path: str | Path, sample_rate: int, remedy: str = RESAMPLE) -> int:
    """Length in samples of a mono file at ``sample_rate``, from its header; raises UserError like read_audio."""
    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, OSError, TypeError) as error:
        raise UserError(f"{path}: cannot be read as audio ({_reason(path, error)}); mend or remove it") from None
    _check_format(path, info.samplerate, info.channels, sample_rate, remedy)
    return info.frames


def read_audio(
    path: str | Path, sample_rate: int, start: int = 0, length: int = -1, remedy: str = RESAMPLE
) -> np.ndarray:
    """Read samples [start, start + length) of a mono file as float32 (T,); ``length`` -1 reads to the end.

    ``remedy`` ends the sentence on a file at another rate: a caller whose rate is an option names that too.
    Raises UserError that names the file if it is missing, unreadable, not mono, at another rate, or not finite.
    """
    try:
        samples, rate = soundfile.read(str(path), frames=length, start=start, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, TypeError) as error:
        raise UserError(f"{path}: cannot be read as audio ({_reason(path, error)}); mend or remove it") from None
    _check_format(path, rate, samples.shape[1], sample_rate, remedy)
    if not np.isfinite(samples).all():
        raise UserError(f"{path}: holds samples that are not finite numbers; mend or remove it")
    return samples[:, 0]


def write_audio(path: str | Path, samples: np.ndarray, sample_rate: int, durable: bool = True) -> None:
    """Write (T,) as 16-bit audio, aside and renamed, in the format of the suffix (.wav, .flac).

    Float samples are rounded to the 16-bit grid. ``durable`` is that of `write_aside`. Raises ValueError where samples
    would clip: levels are the caller's business, and a clipped file says nothing of it.
    """
    if samples.dtype != np.int16:
        samples = to_pcm(samples)
    encoded = encode_audio(samples, sample_rate, Path(path).suffix[1:])
    with write_aside(path, durable) as aside:  # what libsndfile writes to disk itself, it synchronises, wanted or not
        aside.write_bytes(encoded)


def encode_audio(samples: np.ndarray, sample_rate: int, kind: str) -> memoryview:
    """The bytes of a file of 16-bit audio (T,), int16 as `to_pcm` makes it, in a format such as wav or flac."""
    encoded = io.BytesIO()
    with held_signals():  # libsndfile calls back to write, and what is raised in there is lost
        soundfile.write(encoded, samples, sample_rate, subtype="PCM_16", format=kind.upper())
    return encoded.getbuffer()


def wav_size(length: int) -> int:
    """Bytes of the WAV file that `write_audio` makes of ``length`` samples."""
    return WAV_HEADER + 2 * length


def to_pcm(samples: np.ndarray) -> np.ndarray:
    """Round float samples to int16. Raises ValueError if one lies outside [-32768, 32767] / 32768."""
    scaled = np.rint(samples * np.float32(PCM_SCALE))
    if scaled.size and not (scaled.min() >= -PCM_SCALE and scaled.max() < PCM_SCALE):
        raise ValueError(f"samples up to {np.abs(samples).max():.3f} do not fit 16-bit audio; scale them first")
    return scaled.astype(np.int16)


def fitting_gain(peak: float) -> float:
    """What samples up to ``peak`` are multiplied by to fit 16-bit audio: 1 where they do; 6 digits, as tables have."""
    return float(f"{PEAK / peak:.6g}") if peak > LARGEST else 1.0


def _check_format(path: str | Path, rate: int, channels: int, sample_rate: int, remedy: str) -> None:
    if channels != 1:
        raise UserError(f"{path}: has {channels} channels where one is expected; convert it to mono")
    if rate != sample_rate:
        raise UserError(f"{path}: sample rate is {rate} Hz where {sample_rate} Hz is expected; {remedy}")


def _reason(path: str | Path, error: Exception) -> str:
    if not os.path.exists(path):
        return "no such file"
    return str(error).split(": ")[-1].strip().rstrip(".") or type(error).__name__
