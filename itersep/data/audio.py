"""Reading and writing audio files. Signals are float32 in [-1, 1), shape (T,)."""

import io
from pathlib import Path
from typing import IO, Literal

import numpy as np
import soundfile

from itersep.data.audiofile import AudioFile, check_finite, open_audio
from itersep.system.errors import UserError
from itersep.system.files import write_aside
from itersep.system.signals import held_signals

PCM_SCALE = 32768  # a 16-bit sample n stands for n / 32768
LARGEST = 1 - 1 / PCM_SCALE  # the largest sample that 16 bits hold
PEAK = 0.99  # the largest sample of what had to be scaled down
WAV_HEADER = 44  # bytes before the samples of a 16-bit mono file
Subtype = Literal["PCM_16", "PCM_24", "PCM_32", "FLOAT"]  # of the files that are written, in soundfile's words
SAMPLE_BYTES: dict[Subtype, int] = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4}
# What holds no finer step than 16 bits do: codecs of telephony decode to integers of at most 16 bits.
COARSE = {
    *("PCM_S8", "PCM_U8", "PCM_16", "ALAC_16", "ULAW", "ALAW", "GSM610", "DPCM_8", "DPCM_16", "DWVW_12", "DWVW_16"),
    *("IMA_ADPCM", "MS_ADPCM", "VOX_ADPCM", "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32"),
    *("G721_32", "G723_24", "G723_40"),
}
FINE: dict[str, Subtype] = {"PCM_32": "PCM_32", "ALAC_32": "PCM_32", "FLOAT": "FLOAT", "DOUBLE": "FLOAT"}
RESAMPLE = "resample it"  # what can be done about a file of another rate, where nothing else can


def audio_length(path: str | Path, sample_rate: int, remedy: str = RESAMPLE) -> int:
    """Exact length in samples of a mono file at ``sample_rate``; raises UserError like read_audio.

    Takes decoding all of a file whose header cannot tell, such as an MP3.
    """
    with open_audio(path) as file:
        _check_format(file, sample_rate, remedy)
        return file.length()


def read_audio(
    path: str | Path, sample_rate: int, start: int = 0, length: int = -1, remedy: str = RESAMPLE
) -> np.ndarray:
    """Read samples [start, start + length) of a mono file as float32 (T,); ``length`` -1 reads to the end.

    ``remedy`` ends the sentence on a file at another rate: a caller whose rate is an option names that too.
    Raises UserError that names the file if it is missing, unreadable, not mono, at another rate, or not finite.
    """
    with open_audio(path) as file:
        _check_format(file, sample_rate, remedy)
        samples = file.read(start, length)
    check_finite(samples, path)
    return samples[:, 0]


def kept_subtype(subtype: str, kind: str = "wav") -> Subtype:
    """What estimates of a recording are written as, so that they keep as many bits as it has.

    ``subtype`` is the recording's, in soundfile's words. Codecs that lose something decode to floating point, and hold
    a quiet passage below the step of 16 bits: they, and what is not known here, get 24. A file of ``kind`` flac holds
    24 at most.
    """
    kept = "PCM_16" if subtype in COARSE else FINE.get(subtype, "PCM_24")
    return "PCM_24" if kind == "flac" and SAMPLE_BYTES[kept] > SAMPLE_BYTES["PCM_24"] else kept


def file_subtype(path: str | Path) -> str:
    """The subtype of an audio file in soundfile's words; empty where nothing like it is stored, as in an MP3."""
    with open_audio(path) as file:
        return file.subtype


def write_audio(
    path: str | Path, samples: np.ndarray, sample_rate: int, durable: bool = True, subtype: Subtype = "PCM_16"
) -> None:
    """Write (T,) as audio, aside and renamed, in the format of the suffix (.wav, .flac).

    Float samples are rounded to the grid of ``subtype``. ``durable`` is that of `write_aside`. Raises ValueError where
    integers would clip: levels are the caller's business, and a clipped file says nothing of it.
    """
    encoded = encode_audio(samples, sample_rate, Path(path).suffix[1:], subtype)
    with write_aside(path, durable) as aside:  # what libsndfile writes to disk itself, it synchronises, wanted or not
        aside.write_bytes(encoded)


def encode_audio(samples: np.ndarray, sample_rate: int, kind: str, subtype: Subtype = "PCM_16") -> bytes:
    """The bytes of an audio file of (T,) in a format such as wav or flac. Raises ValueError like `to_pcm`."""
    if np.issubdtype(samples.dtype, np.floating):
        samples = to_subtype(samples, subtype)
    encoded = io.BytesIO()
    with held_signals():  # libsndfile calls back to write, and what is raised in there is lost
        soundfile.write(encoded, samples, sample_rate, subtype=subtype, format=kind.upper())
    clear_time(encoded)
    return encoded.getvalue()


def clear_time(file: IO[bytes]) -> None:
    """Take the time of writing out of a WAV file of floats, so that the same samples are the same bytes.

    libsndfile puts it into the chunk PEAK: the chunk's name, its size, a version, the time, 4 bytes each.
    """
    file.seek(0)
    at = file.read(256).partition(b"data")[0].find(b"PEAK")
    if at >= 0:
        file.seek(at + 12)
        file.write(bytes(4))


def wav_size(length: int) -> int:
    """Bytes of the WAV file that `write_audio` makes of ``length`` samples of 16 bits."""
    return WAV_HEADER + 2 * length


def to_subtype(samples: np.ndarray, subtype: Subtype) -> np.ndarray:
    """Float samples as what libsndfile writes bit by bit: given floats for a WAV of integers, it rounds them down."""
    return samples.astype(np.float32) if subtype == "FLOAT" else to_pcm(samples, 8 * SAMPLE_BYTES[subtype])


def to_pcm(samples: np.ndarray, bits: int = 16) -> np.ndarray:
    """Round float samples to a grid of 16, 24 or 32 bits: int16, or int32 of which the highest ``bits`` count.

    Raises ValueError if a sample lies outside [-1, 1), less half a step.
    """
    limit = 2 ** (bits - 1)
    scaled = np.rint(samples * np.float32(limit))
    if scaled.size and not (scaled.min() >= -limit and scaled.max() < limit):
        raise ValueError(f"samples up to {np.abs(samples).max():.3f} do not fit {bits}-bit audio; scale them first")
    return scaled.astype(np.int16) if bits == 16 else (scaled * (2**31 // limit)).astype(np.int32)


def fitting_gain(peak: float) -> float:
    """What samples up to ``peak`` are multiplied by to fit audio of any subtype: 1 where they do; 6 digits.

    Floats could pass 1, but what plays them cuts them there; so one rule holds for all subtypes.
    """
    return float(f"{PEAK / peak:.6g}") if peak > LARGEST else 1.0


def _check_format(file: AudioFile, sample_rate: int, remedy: str) -> None:
    if file.channels != 1:
        raise UserError(f"{file.name}: has {file.channels} channels where one is expected; convert it to mono")
    if file.sample_rate != sample_rate:
        rates = f"{file.sample_rate} Hz where {sample_rate} Hz is expected"
        raise UserError(f"{file.name}: sample rate is {rates}; {remedy}")
