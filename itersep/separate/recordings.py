"""Recordings to separate: files, folders, Kaldi tables and pipes; opened once to know them, and read as streams."""

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal, NamedTuple

import numpy as np

from itersep.data.audiofile import check_finite, open_audio
from itersep.data.datadir import read_table
from itersep.data.folders import count_others, split_audio
from itersep.system.errors import UserError
from itersep.system.files import check_name, file_digest, scratch_file

STDIN = Path("stdin")  # what "-" is called
STDIN_PATHS = [Path("-"), Path("/dev/stdin"), Path("/dev/fd/0"), Path("/proc/self/fd/0")]


@dataclass(frozen=True)
class Recording:
    """An audio file, or one channel of several. ``name`` is that of its estimates, and may have folders in it."""

    name: str
    path: Path  # what messages call it
    channel: int  # from 0
    sample_rate: int
    expected: int | None  # samples by the header, which may be wrong
    subtype: str  # in soundfile's words, such as PCM_16; empty where it is not known
    file: Path  # where it is read: ``path``, or what came through a pipe
    spool: IO[bytes] | None = field(default=None, compare=False, repr=False)  # keeps the latter

    def identity(self) -> dict[str, object]:
        """What tells what is heard in this recording from others, wherever it lies. Reads all of the file."""
        return {"recording_sha256": file_digest(self.file), "channel": self.channel + 1}


class Found(NamedTuple):
    """What inputs stand for: recordings; a sentence on each file that cannot be one; a line on what was passed over."""

    recordings: list[Recording]
    bad: list[str]
    passed_over: list[str]


def find_recordings(inputs: Sequence[str], out_dir: Path, channel: int | Literal["all"] | None = None) -> Found:
    """The recordings that files, folders (with all in them), Kaldi tables (.scp) and pipes ("-") stand for.

    Folders keep their structure; what lies in ``out_dir`` is passed over. ``channel`` counts from 1, or is "all", and
    is needed where a file has several. A pipe is read to its end, to a file in ``out_dir`` that is gone with its
    recording. Raises UserError for an input that stands for nothing, and for two files that would be written as one.
    """
    passed_over: list[str] = []
    found = dict.fromkeys(one for given in inputs for one in _expand(Path(given), out_dir, passed_over))
    recordings, bad = [], []
    for name, path in found:
        try:
            recordings += _open(name, path, channel, out_dir)
        except UserError as error:
            bad.append(str(error))
    named: dict[str, Recording] = {}
    for recording in recordings:
        other = named.setdefault(recording.name, recording)
        if other is not recording:
            raise UserError(
                f"{recording.path}: its estimates would have the same names as those of {other.path}; "
                "rename one, or separate it into another --out"
            )
    return Found(recordings, bad, passed_over)


def read_blocks(recording: Recording, remark: Callable[[str], object]) -> Iterator[np.ndarray]:
    """Samples (n,), float32, of a recording from its beginning to its end. Raises UserError that names it.

    At its end, ``remark`` is called with what there is to say of the file, such as that a part of it was lost.
    """
    with open_audio(recording.file, str(recording.path)) as file:
        for block in file.blocks():
            check_finite(block, file.name)
            yield block[:, recording.channel]
        for said in file.remarks:
            remark(said)


def _expand(given: Path, out_dir: Path, passed_over: list[str]) -> Iterator[tuple[str, Path]]:
    """Names and paths that an input stands for."""
    if given.is_dir():
        if given.resolve() == out_dir.resolve():
            raise UserError(f"{given}: is --out as well, and estimates are not separated again; choose another --out")
        audio, others = (
            [path for path in paths if out_dir.resolve() not in path.resolve().parents] for paths in split_audio(given)
        )
        if not audio:
            raise UserError(f"{given}: has no audio file in it, such as .wav or .m4a; name another folder, or a file")
        passed_over += [count_others(given, others)] if others else []
        yield from ((str(path.relative_to(given).with_suffix("")), path) for path in audio)
    elif given.suffix == ".scp":
        for name, path in read_table(given).items():
            if Path(name).name != name:
                raise UserError(f"{given}: '{name}' cannot name a file; rename it")
            yield name, Path(path)
    elif given in STDIN_PATHS:
        yield STDIN.name, given
    elif given.parent in (Path("/dev/fd"), Path("/proc/self/fd")):  # what a shell makes of <(command)
        yield f"pipe{given.name}", given
    else:
        yield given.stem, given


def _open(name: str, path: Path, channel: int | Literal["all"] | None, out_dir: Path) -> list[Recording]:
    """The recordings of a file: those of several channels have the channel in their names."""
    check_name(path)
    spool, shown = None, STDIN if path in STDIN_PATHS else path
    if path == Path("-") or path.is_fifo():
        spool = _spool(path, name, out_dir)
    elif not path.exists():
        raise UserError(f"{path}: no such file")
    place = Path(spool.name) if spool else path
    with open_audio(place, str(shown)) as file:
        channels = file.channels
        if channel is None and channels > 1:
            raise UserError(f"{shown}: has {channels} channels; choose one by --channel, or all")
        if isinstance(channel, int) and channel > channels:
            raise UserError(f"{shown}: has {channels} channels, and no channel {channel}; choose another --channel")
        if next(file.blocks(), None) is None:
            raise UserError(f"{shown}: holds no samples; remove it")
    chosen = range(1, channels + 1) if channel == "all" else [channel or 1]
    names = {c: f"{name}_ch{c}" if channels > 1 else name for c in chosen}
    known = (file.sample_rate, file.expected, file.subtype, place, spool)
    return [Recording(names[c], shown, c - 1, *known) for c in chosen]


def _spool(pipe: Path, name: str, out_dir: Path) -> IO[bytes]:
    """What comes through a pipe, in a file: it can be read once, and a recording is opened several times."""
    if pipe == Path("-") and sys.stdin.isatty():
        raise UserError("-: is a terminal, where no audio comes from; send it through a pipe, or name a file")
    spool = scratch_file(out_dir, name)
    with nullcontext(sys.stdin.buffer) if pipe == Path("-") else open(pipe, "rb") as source:
        shutil.copyfileobj(source, spool)
    spool.flush()
    return spool
