"""Unpacking archives that come from elsewhere: plain files and folders inside the target, or nothing at all."""

import gzip
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from tqdm import tqdm

from itersep.system.errors import UserError

DAMAGE = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError)


class _Member(NamedTuple):
    """An entry of an archive. ``stream`` is None for a folder."""

    name: str
    size: int
    stream: IO[bytes] | None


class _RefusedError(Exception):
    """A member that no corpus needs; its text says what it is."""


def unpack(archive: str | Path, folder: str | Path) -> None:
    """Unpack a .tar.gz or .zip file to ``folder``, or do nothing if ``folder`` is there.

    It is unpacked aside and renamed, so that a folder that is there is whole; after an interruption, the files that
    were done are not written again. Only plain files and folders with relative names are taken, and get the
    permissions of new files. For a link, a device, or a name that leads outside, the whole archive is refused and
    nothing is left: links are the one way for a good name to lead elsewhere, and the filters of Python's tarfile, which
    not all its versions have, let some of them in.

    Raises UserError for such an archive, one that is damaged, or one of another kind; OSError if the disk fails.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        return
    aside = folder.with_name(f".{folder.name}.unpacking")
    aside.mkdir(parents=True, exist_ok=True)
    try:
        for member in tqdm(_members(archive), f"unpacking {archive.name}", unit="file", disable=None):
            _take(member, aside)
    except _RefusedError as refused:
        shutil.rmtree(aside)
        raise UserError(f"{archive}: {refused}, so it was not unpacked; get it from its publisher") from None
    except DAMAGE as error:
        shutil.rmtree(aside)
        raise UserError(f"{archive}: is damaged ({str(error).rstrip('.')}); remove it and get it again") from None
    aside.replace(folder)


def _members(archive: Path) -> Iterator[_Member]:
    if zipfile.is_zipfile(archive):
        yield from _zip_members(archive)
    else:
        yield from _tar_members(archive)


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archive was made elsewhere than on Unix
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _RefusedError(f"'{info.filename}' in it is not a plain file or folder")
            if info.flag_bits & 1:
                raise _RefusedError(f"'{info.filename}' in it is encrypted")
            if info.filename.endswith("/"):
                yield _Member(info.filename, 0, None)
            else:
                with file.open(info) as stream:
                    yield _Member(info.filename, info.file_size, stream)


def _tar_members(archive: Path) -> Iterator[_Member]:
    with gzip.open(archive) as plain, tarfile.open(fileobj=plain, mode="r:") as file:
        for info in file:
            if not (info.isreg() or info.isdir()):
                raise _RefusedError(f"'{info.name}' in it is not a plain file or folder")
            yield _Member(info.name, info.size, file.extractfile(info))
        while plain.read(1 << 20):  # to its end, where its checksum is
            pass


def _take(member: _Member, folder: Path) -> None:
    name = PurePosixPath(member.name)
    is_top = not name.parts and member.stream is not None  # a file in place of the folder itself
    if is_top or name.is_absolute() or ".." in name.parts or any(letter in member.name for letter in "\\\0"):
        raise _RefusedError(f"'{member.name}' in it would lie outside its folder")
    target = folder / name
    if member.stream is None:
        target.mkdir(parents=True, exist_ok=True)
    elif not (target.is_file() and target.stat().st_size == member.size):
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        try:
            with open(part, "wb") as out:
                shutil.copyfileobj(member.stream, out, 1 << 20)
        except gzip.BadGzipFile:  # an OSError, but none of the disk
            raise
        except OSError as error:
            raise OSError(error.errno, error.strerror or str(error), str(target)) from None
        part.replace(target)
