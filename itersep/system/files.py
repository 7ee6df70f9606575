"""Files written aside and renamed, so that no reader ever meets half of one; text read, digests of files."""

import fcntl
import hashlib
import json
import os
import platform
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

from itersep.system.errors import UserError

LONGEST_NAME = 255  # bytes of a file's name, on all usual file systems


@contextmanager
def write_aside(path: str | Path, durable: bool = True, keep: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` if the block ends well, remove it if not.

    The temporary name keeps the suffix of ``path`` (some writers choose the format by it), starts with a dot, and
    carries machine and process, so that two processes never share one, and a later one of this machine knows those that
    a killed process left, and removes them. ``durable`` waits until the disk has it, which takes milliseconds; without,
    a power cut may leave an empty file under the name. What was there before is renamed to ``keep``: at every moment
    one of the two names has a whole file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path.parent)
    mark = f".{platform.node()}.{os.getpid()}{path.suffix}"
    stem = path.stem if len(os.fsencode(f".{path.stem}{mark}")) <= LONGEST_NAME else text_digest(path.stem)
    aside = path.with_name(f".{stem}{mark}")
    try:
        yield aside
        if durable:
            with open(aside, "rb") as written:
                os.fsync(written.fileno())
        if keep is not None and path.exists():
            os.replace(path, keep)
        os.replace(aside, path)
    except BaseException as error:
        aside.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(aside)):
            raise OSError(error.errno, error.strerror, str(path)) from None  # the name that the user knows
        raise


def scratch_file(folder: Path, name: str) -> IO[bytes]:
    """An empty file in a folder, which is gone when it is closed, or with the process.

    Its name is like those of `write_aside`, so that what a killed process leaves is removed in the same way.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    mark = f".{platform.node()}.{os.getpid()}"
    return tempfile.NamedTemporaryFile(dir=folder, prefix=f".{name[:100]}.", suffix=mark)  # noqa: SIM115 - the caller's


@cache  # once a folder: it may hold the files of a hundred thousand mixtures
def _remove_leftovers(folder: Path) -> None:
    """Remove what processes of this machine that are gone were writing aside in a folder."""
    aside = re.compile(rf"\..*\.{re.escape(platform.node())}\.(\d+)(\.[^.]*)?")
    with os.scandir(folder) as entries:
        for entry in entries:
            match = aside.fullmatch(entry.name)
            if match and not _is_running(int(match[1])):
                Path(entry).unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"  # ended, not waited for
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's; or no /proc here; or no number of a process
        return True


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, aside and renamed."""
    with write_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def read_text(path: str | Path, if_missing: str) -> str:
    """A UTF-8 text, without the byte order mark that editors of Windows put first.

    Raises UserError that names the file, and the line that is not text; ``if_missing`` says what to do without it.
    """
    try:
        data = Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such file; {if_missing}") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder where a file is expected; {if_missing}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: is not UTF-8 text; save it as such, or make it again") from None


def read_json(path: str | Path, if_missing: str, if_broken: str) -> dict[str, Any]:
    """The JSON object of a file. Raises UserError like `read_text`; ``if_broken`` says what to do with another file."""
    return parse_json(read_text(path, if_missing), path, if_broken)


def parse_json(text: str, origin: object, if_broken: str) -> dict[str, Any]:
    """The JSON object of a text. Raises UserError that names ``origin``."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # the latter for lists in lists without an end
        value = None
    if not isinstance(value, dict):
        raise UserError(f"{origin}: is not JSON of names and values; {if_broken}")
    return value


def read_lines(path: str | Path, if_missing: str) -> list[str]:
    """The lines of a text, which end at line feeds alone: names may hold what else Unicode calls a line's end.

    Carriage returns before a line feed, which Windows puts there, are no part of a line. Raises UserError like
    `read_text`.
    """
    lines = read_text(path, if_missing).split("\n")
    return [line.rstrip("\r") for line in (lines if lines[-1] else lines[:-1])]


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Let one process at a time into the block, of all that use this file, on all machines that share its disk."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def claimed(folder: str | Path, shared: bool = False) -> Iterator[None]:
    """Inside, a folder is this process's to write, or where ``shared``, that of several that do parts of one work.

    Raises UserError where others are at it. The claim ends with the process, however that ends; forked children have no
    part in it. On a disk that can't be written, or has no locks, there is none.
    """
    path = Path(folder) / ".running"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = _try_lock(path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    except BlockingIOError:
        raise UserError(f"{folder}: another process writes there; wait for its end, or name another folder") from None
    except OSError:
        yield
        return
    with file:
        try:
            yield
        finally:
            with suppress(OSError):  # other parts are not done
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def _try_lock(path: Path, kind: int) -> IO[str]:
    """Open and lock a file that others remove when they let go of it. Raises OSError where it can't be had."""
    while True:
        file = open(path, "a+")  # noqa: SIM115 - the caller's
        try:
            fcntl.lockf(file, kind | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:  # removed in between
            pass
        except OSError:
            file.close()
            raise
        file.close()


def check_name(path: Path) -> None:
    """Raise UserError for a name that is not UTF-8, as old archives leave them: no table can hold it."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UserError(f"{path}: its name is not UTF-8; rename it") from None


def text_digest(text: str) -> str:
    """SHA-256 of a text, as hexadecimal digits."""
    return hashlib.sha256(os.fsencode(text)).hexdigest()


def file_digest(path: str | Path, algorithm: str = "sha256") -> str:
    """Digest of a file's bytes as lower-case hexadecimal, by any algorithm that hashlib knows."""
    digest = hashlib.new(algorithm)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def content_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes, which a process reads once, and again where size or time of change differ."""
    state = os.stat(path)
    return _content_digest(os.fspath(path), state.st_ino, state.st_size, state.st_mtime_ns)


@cache
def _content_digest(path: str, *state: int) -> str:
    return file_digest(path)
