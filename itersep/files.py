"""Files written aside and renamed, so that no reader ever meets half of one; digests of files."""

import fcntl
import hashlib
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_aside(path: str | Path, durable: bool = True, keep: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` if the block ends well, remove it if not.

    The temporary name keeps the suffix of ``path`` (some writers choose the format by it), starts with a dot, and
    carries machine and process, so that two processes never share one. ``durable`` waits until the disk has it, which
    takes milliseconds; without, a power cut may leave an empty file under the name. What was there before is renamed to
    ``keep``: at every moment one of the two names has a whole file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem}.{platform.node()}.{os.getpid()}{path.suffix}")
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


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, aside and renamed."""
    with write_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Let one process at a time into the block, of all that use this file, on all machines that share its disk."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def file_digest(path: str | Path, algorithm: str = "sha256") -> str:
    """Digest of a file's bytes as lower-case hexadecimal, by any algorithm that hashlib knows."""
    digest = hashlib.new(algorithm)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
