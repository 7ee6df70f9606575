"""Audio files of any kind, opened to be read: rate and exact length, samples in blocks or in cuts.

Two libraries read them. libsndfile (by soundfile) is fast, seeks to the sample, and knows the length. FFmpeg's (by
PyAV) read nearly everything else, from the beginning on. Of what libsndfile opens, some kinds are left to FFmpeg since
it reads them wrong: docs/separating.md has the table. Every reader of this project opens files here, so that a file has
the same samples for all of them, and a failure is a sentence that names the file.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import av
import numpy as np
import soundfile
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.codec.context import Flags2

from itersep.data.riff import is_left_open, remark_length
from itersep.system.errors import UserError

HEADERLESS = {".g722": "g722"}  # suffix -> FFmpeg's name of a format that nothing else tells
LEFT_TO_FFMPEG = ("MPEG", "GSM610")  # beginnings of the subtypes that libsndfile reads wrong
UNKNOWN = 2**62  # libsndfile says more samples than this where the header of a FLAC file says none
BLOCK_S = 1.0  # read at a time
SHORT_S = 0.1  # an MP4 file that ends this much before its header says was cut
OGG_PAGE = 65307  # bytes at most


class AudioFile(ABC):
    """An open audio file, to be read once, from its beginning on; ``with`` closes it.

    Attributes:
        name: what errors call it
        sample_rate, channels: in Hz; their number
        subtype: of the samples, in soundfile's words; empty where nothing like it is stored, as in an MP3
        expected: samples by the header, which may be wrong; None where it says nothing
        remarks: what there is to say of the file, as far as it was read: damage, or a header that is wrong
    """

    name: str
    sample_rate: int
    channels: int
    subtype: str
    expected: int | None
    remarks: list[str]

    def __enter__(self) -> "AudioFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def blocks(self) -> Iterator[np.ndarray]:
        """All samples (n, channels), float32, about `BLOCK_S` at a time. Raises UserError where they are damaged."""
        held: list[np.ndarray] = []
        for part in self._parts():
            held.append(part)
            if sum(map(len, held)) >= BLOCK_S * self.sample_rate:
                yield np.concatenate(held)
                held = []
        if held:
            yield np.concatenate(held)

    def read(self, start: int = 0, length: int = -1) -> np.ndarray:
        """Samples [start, start + length), fewer where the file ends before; ``length`` -1 reads to its end."""
        stop = None if length < 0 else start + length
        found, at = [np.zeros((0, self.channels), np.float32)], 0
        for part in self._parts():
            found.append(part[max(start - at, 0) : None if stop is None else stop - at])
            at += len(part)
            if stop is not None and at >= stop:
                break
        return np.concatenate(found)

    def length(self) -> int:
        """The exact number of samples; takes reading all of the file where the header cannot be trusted."""
        return sum(map(len, self._parts()))

    @abstractmethod
    def _parts(self) -> Iterator[np.ndarray]:
        """All samples (n, channels), float32, in parts of any size above 0."""

    @abstractmethod
    def _close(self) -> None: ...


class _Sndfile(AudioFile):
    """A file that libsndfile reads right."""

    def __init__(self, name: str, path: Path, file: soundfile.SoundFile) -> None:
        self.name, self._path, self._file, self.remarks = name, path, file, []
        self.sample_rate, self.channels, self.subtype = file.samplerate, file.channels, file.subtype
        self.expected = file.frames

    def read(self, start: int = 0, length: int = -1) -> np.ndarray:
        if not self._file.seekable():
            return super().read(start, length)
        start, left = min(start, self.expected), max(0, self.expected - start)
        wanted = left if length < 0 else min(length, left)
        try:
            self._file.seek(start)
            samples = self._file.read(wanted, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise self._damaged(start, error) from None
        if len(samples) < wanted:
            raise self._damaged(start + len(samples))
        return samples

    def length(self) -> int:
        return self.expected

    def _parts(self) -> Iterator[np.ndarray]:
        at, size = 0, max(1, round(BLOCK_S * self.sample_rate))
        while at < self.expected:
            try:  # not SoundFile.blocks(), which fills up with what is in its buffer where samples are missing
                part = self._file.read(min(size, self.expected - at), dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                raise self._damaged(at, error) from None
            if not len(part):
                raise self._damaged(at)
            at += len(part)
            yield part
        if self._file.format in ("WAV", "WAVEX") and at:
            self.remarks += filter(None, [remark_length(self._path, at)])

    def _close(self) -> None:
        self._file.close()

    def _damaged(self, at: int, error: Exception | None = None) -> UserError:
        reason = f" ({error.error_string.rstrip('.')})" if error and error.error_string else ""
        return UserError(
            f"{self.name}: ends or is damaged after {at} samples{reason} where its header says {self.expected}; fix "
            "or remove it"
        )


class _Decoded(AudioFile):
    """A file that FFmpeg's libraries decode; of several tracks of sound, the one that they take for the best."""

    def __init__(self, name: str, path: Path, options: dict[str, str]) -> None:
        self.name, self.remarks, self._lost = name, [], []
        # "file:" since a name such as 12:30.m4a is an address to them.
        self._container = av.open(f"file:{path}", format=HEADERLESS.get(path.suffix.lower()), options=options)
        try:
            self._open_track()
        except BaseException:
            self._container.close()
            raise

    def _open_track(self) -> None:
        track = self._container.streams.best("audio")
        if track is None:
            raise UserError(_unreadable(self.name, "it has no track of sound"))
        context = track.codec_context
        if (self._container.format.name, context.name) == ("caf", "alac"):
            context.flags2 |= Flags2.skip_manual  # else the padding at its end is taken off twice
        frames = self._decode(track)
        first = next(frames, None)  # its rate may be another than the header's: AAC with twice the bandwidth
        if first is None and self._lost:
            raise UserError(_unreadable(self.name, "nothing of it can be decoded"))
        told = context if first is None else first
        self.sample_rate, self.channels = told.sample_rate, told.layout.nb_channels
        self.subtype = _stored(context)
        self._frames = chain([] if first is None else [first], frames)
        seconds = track.duration * track.time_base if track.duration else (self._container.duration or 0) / av.time_base
        self.expected = round(seconds * self.sample_rate) or None

    def _decode(self, track: AudioStream) -> Iterator[av.AudioFrame]:
        """All frames of a track. What cannot be decoded is left out, as players do, and noted in ``_lost``."""
        at = 0
        try:
            for packet in self._container.demux(track):
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    self._lost.append(at)
                    continue
                for frame in frames:
                    at += frame.samples
                    yield frame
        except av.FFmpegError:
            self._lost.append(at)

    def _parts(self) -> Iterator[np.ndarray]:
        at, kind = 0, (self.sample_rate, self.channels)
        for frame in self._frames:
            if (frame.sample_rate, frame.layout.nb_channels) != kind:
                raise UserError(f"{self.name}: has another rate or other channels from sample {at} on; convert it")
            at += frame.samples
            yield self._samples(frame)
        is_told = self._container.format.name.startswith("mov") and self.expected is not None
        if is_told and at < self.expected - SHORT_S * self.sample_rate:
            self.remarks.append(f"ends after {at} samples where its header says {self.expected}")
        elif self._lost:
            pieces = "1 piece" if len(self._lost) == 1 else f"{len(self._lost)} pieces"
            self.remarks.append(f"cannot be decoded after {self._lost[0] / self.sample_rate:.1f} s: {pieces} left out")

    def _samples(self, frame: av.AudioFrame) -> np.ndarray:
        try:
            samples = frame.to_ndarray()
        except ValueError:
            kind = frame.format.name
            raise UserError(f"{self.name}: its samples are of type {kind}, which is not read; convert it") from None
        return as_float(samples.T if frame.format.is_planar else samples.reshape(-1, self.channels))

    def _close(self) -> None:
        self._container.close()


def open_audio(path: str | Path, name: str | None = None) -> AudioFile:
    """Open a file of any kind of audio that libsndfile or FFmpeg reads, to be closed by ``with``.

    ``name`` is what errors call it, by default its path. A header that says 0 samples where samples follow, as a
    recorder leaves it that was cut off, is read to the end of the file. Raises UserError for what cannot be read.
    """
    path, name = Path(path), str(path) if name is None else name
    try:
        with open(path, "rb") as start:
            for_ffmpeg = path.suffix.lower() in (*HEADERLESS, ".mp3", ".mp2") or _is_mpeg(start.read(4))
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        raise UserError(_unreadable(name, "no such file" if missing else error.strerror)) from None
    refusal, options, remarks = None, {}, []
    if not for_ffmpeg:
        try:
            file = soundfile.SoundFile(path)
        except (soundfile.LibsndfileError, TypeError) as error:  # the latter for .raw, which tells no rate
            refusal = str(error).split(": ")[-1].strip().rstrip(".")
        else:
            if file.frames == 0 and file.format in ("WAV", "WAVEX", "RF64") and is_left_open(path):
                options, remarks = {"ignore_length": "1"}, ["its header says 0 samples; all that follow it are read"]
            elif _is_read_right(path, file):
                return _Sndfile(name, path, file)
            file.close()
    try:
        decoded = _Decoded(name, path, options)
    except av.FFmpegError as error:
        raise UserError(_unreadable(name, refusal or error.strerror)) from None
    decoded.remarks += remarks
    return decoded


def as_float(samples: np.ndarray) -> np.ndarray:
    """Samples of any audio type as float32: floats as they are, integers by the range of their type.

    int8 / 2**7, int16 / 2**15, int32 / 2**31 and (uint8 - 2**7) / 2**7, which is how files hold 8 bits; of any byte
    order. Raises ValueError for other types, of which nobody can tell what is full scale.
    """
    kind, size = samples.dtype.kind, samples.dtype.itemsize
    if kind == "f":
        return samples.astype(np.float32)
    if (kind, size) == ("u", 1):
        return as_float((samples ^ 0x80).view(np.int8))
    if kind == "i" and size <= 4:
        return samples.astype(np.float32) / np.float32(2 ** (8 * size - 1))
    raise ValueError(f"samples cannot be of type {samples.dtype}; give floats, or int8, uint8, int16 or int32")


def check_finite(samples: np.ndarray, name: object) -> None:
    """Raise UserError that names a file whose samples are not all finite."""
    if not np.isfinite(samples).all():
        raise UserError(f"{name}: holds samples that are not finite numbers; fix or remove it")


def _is_mpeg(start: bytes) -> bool:
    """Whether a file begins like MP3 or AAC: libsndfile writes to the terminal what it makes of these."""
    return start.startswith(b"ID3") or (len(start) > 1 and start[0] == 0xFF and start[1] >= 0xE0)


def _is_read_right(path: Path, file: soundfile.SoundFile) -> bool:
    if file.subtype.startswith(LEFT_TO_FFMPEG) or file.frames > UNKNOWN:
        return False
    return file.format != "OGG" or not _is_chained(path)


def _is_chained(path: Path) -> bool:
    """Whether streams follow one another in an Ogg file, as of a radio's songs: libsndfile would read the first."""
    begun = set()
    with open(path, "rb") as file:
        while len(page := file.read(27)) == 27 and page[5] & 2:  # what begins together comes first
            begun.add(page[14:18])
            file.seek(sum(file.read(page[26])), 1)
        file.seek(max(0, path.stat().st_size - OGG_PAGE))
        last = file.read().rpartition(b"OggS")[2]
    return len(last) >= 14 and last[10:14] not in begun


def _stored(context: AudioCodecContext) -> str:
    """What a codec holds, in soundfile's words."""
    kind = context.format.name.removesuffix("p") if context.format else ""
    if kind in ("flt", "dbl"):
        return "FLOAT" if context.name.startswith("pcm_") else ""
    return {"u8": "PCM_U8", "s16": "PCM_16", "s32": "PCM_32"}.get(kind, "")


def _unreadable(name: str, reason: str | None) -> str:
    return f"{name}: cannot be read as audio ({reason}); fix or remove it"
