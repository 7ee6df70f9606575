"""Audio files of many kinds, made as phones, browsers, recorders and pipes make them."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import soundfile


def voice(rate: int, seconds: float = 0.5) -> np.ndarray:
    """A sound (T,) that codecs keep: a few partials below 3 kHz, each with an onset of its own."""
    time = np.arange(round(seconds * rate) + 77) / rate
    partials = [(310, 2.3), (530, 3.1), (940, 4.7), (1710, 5.9), (2560, 7.3)]
    signal = sum(np.sin(2 * np.pi * (hz * time + k / 7)) * np.sin(np.pi * slow * time) ** 2 / (k + 2)
                 for k, (hz, slow) in enumerate(partials))  # fmt: skip
    return (0.3 * signal).astype(np.float32)


def encode(
    target: Path | io.BytesIO,
    samples: np.ndarray,
    rate: int,
    container: str,
    codec: str,
    options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
) -> None:
    """Write (T,) by FFmpeg's encoder ``codec``."""
    where = target if isinstance(target, io.IOBase) else str(target)
    with av.open(where, "w", format=container, options=options or {}) as file:
        stream = file.add_stream(codec, rate=rate, options=codec_options or {})
        stream.layout = "mono"
        kinds = [kind.name for kind in stream.codec_context.codec.audio_formats or []]
        stream.format = "s16" if "s16" in kinds or not kinds else kinds[0]
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate)
        frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))


class Pipe(io.BytesIO):
    """What cannot be sought in, so that no header is completed."""

    def seekable(self) -> bool:
        return False


class Kind(NamedTuple):
    """A kind of file: its name, how it is made, and what its codec does to the samples."""

    name: str
    make: Callable[[Path, np.ndarray, int], object]
    rate: int = 16000
    padding: int = 0  # samples that may follow the sound
    delay: int = 0  # samples that come before it
    snr_db: float = 70.0  # of what is left of it, at least

    def write(self, folder: Path, samples: np.ndarray | None = None) -> Path:
        """A file of ``samples``, or of `voice`."""
        path = folder / self.name
        self.make(path, voice(self.rate) if samples is None else samples, self.rate)
        return path


def by_sndfile(subtype: str, container: str) -> Callable[[Path, np.ndarray, int], object]:
    return lambda path, samples, rate: soundfile.write(path, samples, rate, subtype, format=container)


def by_ffmpeg(container: str, codec: str, **options: str) -> Callable[[Path, np.ndarray, int], object]:
    return lambda path, samples, rate: encode(path, samples, rate, container, codec, options)


def through_pipe(container: str, codec: str) -> Callable[[Path, np.ndarray, int], object]:
    def make(path: Path, samples: np.ndarray, rate: int) -> None:
        pipe = Pipe()
        encode(pipe, samples, rate, container, codec)
        path.write_bytes(pipe.getvalue())

    return make


def patched(container: str, **fields: int) -> Callable[[Path, np.ndarray, int], object]:
    """A WAV whose recorder was cut off: sizes in its header, by the name that comes before them, are other ones."""

    def make(path: Path, samples: np.ndarray, rate: int) -> None:
        soundfile.write(path, samples, rate, "PCM_16", format=container)
        content = bytearray(path.read_bytes())
        for name, size in fields.items():
            at = content.index(name.encode()) + 4
            content[at : at + 4] = struct.pack("<I", size)
        if container == "RF64":
            at = content.index(b"ds64") + 8
            content[at : at + 24] = bytes(24)
        path.write_bytes(content)

    return make


def chained(path: Path, samples: np.ndarray, rate: int) -> None:
    """Two Ogg streams one after the other, as a radio's recorder writes them."""
    streams = []
    for part in np.split(samples, [len(samples) // 2]):
        streams.append(io.BytesIO())
        soundfile.write(streams[-1], part, rate, "VORBIS", format="OGG")
    path.write_bytes(b"".join(stream.getvalue() for stream in streams))


def vbr_mp3(path: Path, samples: np.ndarray, rate: int) -> None:
    """MP3 of a variable rate, without the header that tells its length."""
    vbr = {"flags": "+qscale", "global_quality": str(4 * 118)}
    encode(path, samples, rate, "mp3", "libmp3lame", {"write_xing": "0"}, vbr)


ZERO = dict.fromkeys(("RIFF", "data"), 0)
KINDS = [
    Kind("pcm16.wav", by_sndfile("PCM_16", "WAV")),
    Kind("pcm24.wav", by_sndfile("PCM_24", "WAV")),
    Kind("float.wav", by_sndfile("FLOAT", "WAV")),
    Kind("ulaw.wav", by_sndfile("ULAW", "WAV"), snr_db=30),
    Kind("adpcm.wav", by_sndfile("MS_ADPCM", "WAV"), padding=512, snr_db=15),
    Kind("gsm.wav", by_sndfile("GSM610", "WAV"), rate=8000, padding=319, snr_db=5),
    Kind("g721.wav", by_sndfile("G721_32", "WAV"), rate=8000, padding=120, snr_db=5),
    Kind("long.wav", by_sndfile("PCM_16", "RF64")),
    Kind("pipe.wav", through_pipe("wav", "pcm_s16le")),
    Kind("crashed.wav", patched("WAV", **ZERO)),
    Kind("crashed_late.wav", patched("WAV", RIFF=36, data=0)),
    Kind("crashed_long.wav", patched("RF64")),
    Kind("x.w64", by_sndfile("PCM_16", "W64")),
    Kind("x.aiff", by_sndfile("PCM_16", "AIFF")),
    Kind("x.au", by_sndfile("PCM_16", "AU")),
    Kind("x.caf", by_sndfile("PCM_16", "CAF")),
    Kind("pipe.caf", through_pipe("caf", "pcm_s16le")),
    Kind("alac.caf", by_ffmpeg("caf", "alac")),
    Kind("x.flac", by_sndfile("PCM_16", "FLAC")),
    Kind("fine.flac", by_sndfile("PCM_24", "FLAC")),
    Kind("pipe.flac", through_pipe("flac", "flac")),
    Kind("flac.ogg", by_ffmpeg("ogg", "flac")),
    Kind("vorbis.ogg", by_sndfile("VORBIS", "OGG"), snr_db=15),
    Kind("opus.ogg", by_sndfile("OPUS", "OGG"), snr_db=5),
    Kind("x.opus", by_ffmpeg("ogg", "libopus"), rate=48000, snr_db=5),
    Kind("x.webm", by_ffmpeg("webm", "libopus"), rate=48000, snr_db=5),
    Kind("live.webm", by_ffmpeg("webm", "libopus", live="1"), rate=48000, snr_db=5),
    Kind("x.mp3", by_sndfile("MPEG_LAYER_III", "MP3"), snr_db=15),
    Kind("vbr.mp3", vbr_mp3, padding=1152, delay=1105, snr_db=15),
    Kind("x.mp2", by_ffmpeg("mp2", "mp2"), padding=1152, delay=481, snr_db=15),
    Kind("x.m4a", by_ffmpeg("ipod", "aac"), padding=1023, snr_db=15),
    Kind("alac.m4a", by_ffmpeg("ipod", "alac")),
    Kind("x.mov", by_ffmpeg("mov", "aac"), padding=1023, snr_db=15),
    Kind("x.mka", by_ffmpeg("matroska", "flac")),
    Kind("x.aac", by_ffmpeg("adts", "aac"), padding=1023, delay=1024, snr_db=15),
]
