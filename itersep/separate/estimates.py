"""Estimates of recordings: written as streams, and noted when they are done."""

import errno
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import soundfile

from itersep.data.audio import SAMPLE_BYTES, Subtype, clear_time, fitting_gain, to_subtype
from itersep.separate.recordings import Recording
from itersep.system.errors import UserError
from itersep.system.files import file_digest, parse_json, write_aside
from itersep.system.journal import open_to_append

BLOCK_S = 1.0  # written at a time
LONGEST_WAV = 2**32 - 128  # bytes of samples in a file whose header counts them by 32 bits
JOURNAL = "separated.jsonl"


def write_estimates(
    pieces: Iterator[np.ndarray], paths: Sequence[Path], sample_rate: int, subtype: Subtype = "PCM_16"
) -> float:
    """Write pieces (C, n) of estimates to C files of ``subtype``, in the formats of their suffixes, aside and renamed.

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
            _encode(raw, asides, np.float32(gain), sample_rate, length, subtype)
    return gain


class Notes:
    """How the estimates in a folder were made, one line a recording: so that nothing is done twice, or written over."""

    def __init__(self, out_dir: Path) -> None:
        self.path = out_dir / JOURNAL
        self.by_file: dict[str, dict[str, Any]] = {}
        for note in self._read():
            self._take(note)

    def has(self, recording: Recording, how: Mapping[str, object], paths: Sequence[Path], overwrite: bool) -> bool:
        """Whether what the recording holds was separated like this, and its estimates are there as they were.

        Raises UserError where one of the files was made from something else, unless it may be overwritten.
        """
        found = {path: self.by_file.get(_file_key(recording, path)) for path in paths if path.exists()}
        held = {path: note for path, note in found.items() if note}
        if not held:
            return False
        wanted = recording.identity() | how
        different = {path: note for path, note in held.items() if note | wanted != note}
        if different and not overwrite:
            path, note = next(iter(different.items()))
            raise UserError(
                f"{path}: was made {_difference(note, wanted, recording)}; choose another --out, or replace it by "
                "--overwrite"
            )
        same = len(held) == len(paths) and not different
        return same and all(note["files_sha256"][path.name] == file_digest(path) for path, note in held.items())

    def add(self, recording: Recording, made: Mapping[str, object], paths: Sequence[Path]) -> None:
        """Note that a recording is done, how it was ``made``, and what its estimates are."""
        digests = {path.name: file_digest(path) for path in paths}
        note = {"name": recording.name, "recording": str(recording.path), **made, "files_sha256": digests}
        with open_to_append(self.path) as file:
            file.write(json.dumps(note, ensure_ascii=False) + "\n")
        self._take(note)

    def _take(self, note: dict[str, Any]) -> None:
        folder = Path(str(note.get("name"))).parent
        files = note.get("files_sha256")
        self.by_file |= {str(folder / file): note for file in (files if isinstance(files, dict) else ())}

    def _read(self) -> Iterator[dict[str, Any]]:
        text = self.path.read_text(encoding="utf-8", errors="replace") if self.path.exists() else ""
        for line in text.split("\n"):
            with suppress(UserError):  # cut short or damaged: its recording is done again
                yield parse_json(line, self.path, "")


def _file_key(recording: Recording, path: Path) -> str:
    """A file of a recording's estimates as `Notes` knows it: by its path in the folder."""
    return str(Path(recording.name).parent / path.name)


def _difference(note: Mapping[str, object], wanted: Mapping[str, object], recording: Recording) -> str:
    """In words, what a note says otherwise than it is wanted."""
    other = {name: note.get(name) for name in wanted if note.get(name) != wanted[name]}
    if other.keys() & {"recording_sha256", "channel"}:
        return f"from other audio ({note.get('recording')}) than {recording.path} holds"
    if "model_sha256" in other:
        return f"by another model ({note.get('model')})"
    return f"with {', '.join(f'{name} {value}, not {wanted[name]}' for name, value in other.items())}"


def _encode(
    raw: IO[bytes], paths: Sequence[Path], gain: np.float32, sample_rate: int, length: int, subtype: Subtype
) -> None:
    """Samples of C signals in turn, float32, to C files of ``subtype``."""
    raw.seek(0)
    with ExitStack() as stack:
        files = []
        for path in paths:
            kind = path.suffix[1:].upper()
            kind = "RF64" if kind == "WAV" and length * SAMPLE_BYTES[subtype] > LONGEST_WAV else kind
            file = soundfile.SoundFile(path, "w", sample_rate, 1, subtype, format=kind)
            files.append(stack.enter_context(closing(file)))
        while block := raw.read(4 * len(paths) * round(BLOCK_S * sample_rate or 1)):
            samples = np.frombuffer(block, dtype=np.float32).reshape(-1, len(paths))
            for file, signal in zip(files, samples.T, strict=True):
                try:
                    file.write(to_subtype(signal * gain, subtype))
                except (soundfile.LibsndfileError, AssertionError):  # soundfile asserts that all was written
                    raise OSError(errno.ENOSPC, "cannot be written whole", file.name) from None
    for path in paths:
        with open(path, "r+b") as written:
            clear_time(written)
