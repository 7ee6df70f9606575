"""Downloading large files: goes on where it was cut, checks the published checksum, keeps no half file."""

import errno
import fcntl
import re
import shutil
import time
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from io import FileIO
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tqdm import tqdm

from itersep.system.errors import UserError
from itersep.system.files import file_digest

BLOCK = 1 << 20  # bytes taken at a time, at most
TIMEOUT_S = 30.0  # a server that is silent for so long has cut the connection
PAUSES_S = (1.0, 4.0, 15.0, 60.0)  # before each new try; counted anew whenever more has come than ever before


class _CutError(Exception):
    """A transfer that ended before its end; its text is the reason."""


def download(url: str, path: str | Path, checksum: str | None = None) -> None:
    """Download ``url`` to ``path``, or do nothing if ``path`` is there.

    What has come is kept in ``path``.part, and the next call goes on from there if the server can (HTTP ranges). A cut
    in mid-transfer is mended here, by a few tries more. ``checksum`` is '<algorithm>:<hexadecimal>', as 'md5:' or
    'sha256:'; if what came has another one, it is removed.

    Raises UserError if ``url`` is not http(s), or if another process is downloading to ``path``; OSError whose text is
    one sentence for all that can go wrong with network, server and disk.
    """
    path = Path(path)
    if path.exists():
        return
    if not url.startswith(("http://", "https://")):
        raise UserError(f"{url}: is not an address that begins with http:// or https://")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with open(part, "ab", buffering=0) as out:
        try:
            fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{part}: another process is downloading it; wait for that to end") from None
        _receive_all(url, out)
        if checksum:
            _check(url, part, checksum)
        part.replace(path)


def _check(url: str, part: Path, checksum: str) -> None:
    algorithm, _, published = checksum.partition(":")
    found = file_digest(part, algorithm)
    if found != published:
        part.unlink()
        raise OSError(f"{url}: what came has the {algorithm} {found}, not {published}; it was removed, so try again")


def _receive_all(url: str, out: FileIO) -> None:
    pauses, most = iter(PAUSES_S), out.tell()
    while True:
        try:
            return _receive(url, out)
        except _CutError as cut:
            if out.tell() > most:
                pauses, most = iter(PAUSES_S), out.tell()
            pause_s = next(pauses, None)
            if pause_s is None:
                raise OSError(f"{url}: the transfer was cut ({cut}); run it again to go on from there") from None
        time.sleep(pause_s)


def _receive(url: str, out: FileIO) -> None:
    """Ask for what is missing and append it; ask for all if the server gives no part."""
    have = out.tell()
    try:
        response = urlopen(Request(url, headers={"Range": f"bytes={have}-"} if have else {}), timeout=TIMEOUT_S)
    except HTTPError as error:
        with error:
            if error.code == 416 and have:  # nothing lies beyond what we have
                if _content_range(error.headers)[1] != have:
                    _start_over(out)
                    _receive(url, out)
                return
            raise OSError(f"{url}: the server answered {error.code} {error.reason}") from None
    except (URLError, OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        if have:
            raise _CutError(reason) from None
        raise OSError(f"{url}: cannot be reached ({reason}); look at the network") from None
    with response:
        _append(response, out, have)


def _append(response: HTTPResponse, out: FileIO, have: int) -> None:
    if response.status == 206:
        start, total = _content_range(response.headers)
        if start != have:
            raise OSError(f"{response.url}: the server sent another part than asked for; remove {out.name}")
    else:
        _start_over(out)
        length = response.headers["Content-Length"]
        total = int(length) if length else None
    _check_space(out, total)
    name = Path(out.name).name.removesuffix(".part")
    with tqdm(
        desc=name, total=total, initial=out.tell(), unit="B", unit_scale=True, unit_divisor=1024, disable=None
    ) as progress:
        for block in _blocks(response):
            _write(out, block)
            progress.update(len(block))
    if total is not None and out.tell() < total:
        raise _CutError(f"after {out.tell()} of {total} bytes")


def _blocks(response: HTTPResponse) -> Iterator[bytes]:
    try:
        while block := response.read1(BLOCK):  # what there is: a silence later costs none of it
            yield block
    except (OSError, HTTPException) as error:
        raise _CutError(str(error) or type(error).__name__) from None


def _write(out: FileIO, block: bytes) -> None:
    """Write all of ``block``: on a full disk, a first write may do a part of it and only the next one fail."""
    rest = memoryview(block)
    try:
        while rest:
            rest = rest[out.write(rest) :]
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; free some space and run it again", out.name) from None


def _check_space(out: FileIO, total: int | None) -> None:
    free = shutil.disk_usage(Path(out.name).parent).free
    if total is not None and total - out.tell() > free:
        sizes = f"{(total - out.tell()) / 1e9:.1f} GB are missing and {free / 1e9:.1f} GB are free"
        raise OSError(errno.ENOSPC, f"no space for it: {sizes}", out.name.removesuffix(".part"))


def _start_over(out: FileIO) -> None:
    out.seek(0)
    out.truncate()


def _content_range(headers: object) -> tuple[int | None, int | None]:
    """First byte and total of a Content-Range header, None where it doesn't say."""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(?:(\d+)|\*)", headers["Content-Range"] or "")
    first, total = match.groups() if match else (None, None)
    return (None if first is None else int(first)), (None if total is None else int(total))
