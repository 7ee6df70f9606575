"""Recordings to separate: found in folders and tables, read and written as streams, noted when they are done."""

import errno
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import soundfile

from itersep.data.audio import fitting_gain, to_pcm
from itersep.data.datadir import read_table
from itersep.errors import UserError
from itersep.files import check_name, file_digest, parse_json, write_aside

SUFFIXES = {".wav", ".flac", ".ogg", ".mp3"}  # looked for in folders; a file that is named may have any
BLOCK_S = 1.0  # read at a time
LONGEST_WAV = 2**31 - 64  # samples of 16 bits in a file whose header counts its bytes by 32
JOURNAL = "separated.jsonl"


@dataclass(frozen=True)
class Recording:
    """An audio file, or the chosen channel of one. ``name`` is that of its estimates, and may have folders in it."""

    name: str
    path: Path
    channel: int  # from 0
    sample_rate: int
    length: int

    def identity(self) -> dict[str, object]:
        """What tells this recording, as it is now, from others."""
        state = self.path.stat()
        path = str(self.path)
        return {"recording": path, "channel": self.channel + 1, "bytes": state.st_size, "changed_ns": state.st_mtime_ns}


def find_recordings(inputs: Sequence[str], out_dir: Path, channel: int | None = None) -> list[Recording]:
    """The recordings that files, folders (with all in them) and Kaldi tables (.scp) stand for, all of them opened once.

    Folders keep their structure; what lies in ``out_dir`` is passed over. ``channel`` counts from 1 and is needed
    where a file has several. Raises UserError that names an input which is missing, is no audio or has another
    channel, or two that would be written as one.
    """
    named: dict[str, Path] = {}
    for given in inputs:
        for name, path in _expand(Path(given), out_dir):
            check_name(path)
            if name in named and named[name] != path:
                raise UserError(
                    f"{path}: its estimates would have the same names as those of {named[name]}; "
                    "rename one, or separate it into another --out"
                )
            named[name] = path
    return [_open(name, path, channel) for name, path in named.items()]


def read_blocks(recording: Recording) -> Iterator[np.ndarray]:
    """Samples (n,), float32, of a recording from its beginning to its end. Raises UserError that names it."""
    read = 0
    try:
        with soundfile.SoundFile(recording.path) as file:
            for block in file.blocks(round(BLOCK_S * file.samplerate) or 1, dtype="float32", always_2d=True):
                if not np.isfinite(block).all():
                    raise UserError(f"{recording.path}: holds samples that are not finite numbers; mend it")
                read += len(block)
                yield block[:, recording.channel]
    except soundfile.LibsndfileError as error:
        raise UserError(f"{recording.path}: cannot be read as audio ({_reason(error)}); mend it") from None
    if read != recording.length:
        raise UserError(
            f"{recording.path}: ends after {read} samples where its header says {recording.length}; mend it"
        )


def write_estimates(pieces: Iterator[np.ndarray], paths: Sequence[Path], sample_rate: int) -> float:
    """Write pieces (C, n) of estimates to C files of 16 bits, in the formats of their suffixes, aside and renamed.

    Returns the factor that all were scaled by, 1 unless they would have clipped. To know it, the estimates are kept in
    an unnamed file first, four bytes a sample, so that no length needs memory and nothing is left of a run that ends.
    """
    peak, length = 0.0, 0
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=paths[0].parent) as raw:
        for piece in pieces:
            peak, length = max(peak, float(np.abs(piece).max(initial=0.0))), length + piece.shape[1]
            try:
                raw.write(np.ascontiguousarray(piece.T, dtype=np.float32))
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(paths[0].parent)) from None
        gain = fitting_gain(peak)
        with ExitStack() as stack:
            asides = [stack.enter_context(write_aside(path)) for path in paths]
            _encode(raw, asides, np.float32(gain), sample_rate, length)
    return gain


class Notes:
    """What was done in a folder, one line a recording, so that the same command does not do it again."""

    def __init__(self, out_dir: Path) -> None:
        self.path = out_dir / JOURNAL
        self.lines = dict(self._read())

    def has(self, recording: Recording, how: dict[str, object], paths: Sequence[Path]) -> bool:
        """Whether the recording, as it is now, was separated like this, and its estimates are there as they were."""
        note = self.lines.get(recording.name, {})
        alike = all(path.exists() for path in paths) and note | recording.identity() | how == note
        return alike and note.get("files_sha256") == _digests(paths)

    def add(
        self, recording: Recording, how: dict[str, object], result: dict[str, object], paths: Sequence[Path]
    ) -> None:
        """Note that a recording is done, and what its estimates are."""
        note = {"name": recording.name} | recording.identity() | how | result | {"files_sha256": _digests(paths)}
        torn = self.path.exists() and not self.path.read_bytes().endswith(b"\n")  # by a kill
        with open(self.path, "a", encoding="utf-8") as file:
            file.write("\n" * torn + json.dumps(note, ensure_ascii=False) + "\n")
        self.lines[recording.name] = note

    def _read(self) -> Iterator[tuple[str, dict[str, object]]]:
        text = self.path.read_text(encoding="utf-8", errors="replace") if self.path.exists() else ""
        for line in text.split("\n"):
            with suppress(UserError):  # cut short or damaged: its recording is done again
                note = parse_json(line, self.path, "")
                yield str(note.get("name")), note


def _digests(paths: Sequence[Path]) -> dict[str, str]:
    return {path.name: file_digest(path) for path in paths}


def _expand(given: Path, out_dir: Path) -> Iterator[tuple[str, Path]]:
    """Names and paths that an input stands for."""
    if given.is_dir():
        if given.resolve() == out_dir.resolve():
            raise UserError(f"{given}: is --out as well, and estimates are not separated again; choose another --out")
        found = sorted(path for path in given.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        found = [path for path in found if path.name[0] != "." and out_dir.resolve() not in path.resolve().parents]
        if not found:
            raise UserError(f"{given}: has no {', '.join(sorted(SUFFIXES))} in it")
        yield from ((str(path.relative_to(given).with_suffix("")), path) for path in found)
    elif given.suffix == ".scp":
        for name, path in read_table(given).items():
            if Path(name).name != name:
                raise UserError(f"{given}: '{name}' cannot name a file; rename it")
            yield name, Path(path)
    else:
        yield given.stem, given


def _open(name: str, path: Path, channel: int | None) -> Recording:
    if not path.exists():
        raise UserError(f"{path}: no such file")
    try:
        info = soundfile.info(path)
    except (soundfile.LibsndfileError, TypeError) as error:
        raise UserError(f"{path}: cannot be read as audio ({_reason(error)}); mend or remove it") from None
    if channel is None and info.channels > 1:
        raise UserError(f"{path}: has {info.channels} channels; choose one by --channel")
    if channel is not None and channel > info.channels:
        raise UserError(f"{path}: has {info.channels} channels, and no channel {channel}; choose another --channel")
    if info.frames == 0:
        raise UserError(f"{path}: holds no samples; remove it")
    return Recording(name, path, (channel or 1) - 1, info.samplerate, info.frames)


def _encode(raw: IO[bytes], paths: Sequence[Path], gain: np.float32, sample_rate: int, length: int) -> None:
    """Samples of C signals in turn, float32, to C files of 16 bits."""
    raw.seek(0)
    with ExitStack() as stack:
        files = []
        for path in paths:
            kind = path.suffix[1:].upper()
            kind = "RF64" if kind == "WAV" and length > LONGEST_WAV else kind
            file = soundfile.SoundFile(path, "w", sample_rate, 1, "PCM_16", format=kind)
            files.append(stack.enter_context(closing(file)))
        while block := raw.read(4 * len(paths) * round(BLOCK_S * sample_rate or 1)):
            samples = np.frombuffer(block, dtype=np.float32).reshape(-1, len(paths))
            for file, signal in zip(files, samples.T, strict=True):
                try:
                    file.write(to_pcm(signal * gain))
                except (soundfile.LibsndfileError, AssertionError):  # soundfile asserts that all was written
                    raise OSError(errno.ENOSPC, "cannot be written whole", file.name) from None


def _reason(error: Exception) -> str:
    return str(error).split(": ")[-1].strip().rstrip(".") or type(error).__name__
