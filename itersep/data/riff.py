"""What the header of a WAV file says of its samples, and what is there: recorders that crash leave it unfinished."""

from pathlib import Path
from typing import NamedTuple

STREAMED = 0x7FFF0000  # a header that says this many bytes or more was written before their number was known


class DataChunk(NamedTuple):
    """Where the samples of a WAV or RF64 file begin, their bytes by the header, and where the file ends."""

    begin: int
    said: int
    end: int


def find_data(path: Path) -> DataChunk | None:
    """The chunk that holds the samples; None in a file that has none."""
    with open(path, "rb") as file:
        end = file.seek(0, 2)
        file.seek(12)
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[4:], "little")
            if head[:4] == b"data":
                return DataChunk(file.tell(), size, end)
            file.seek(size + size % 2, 1)
    return None


def is_left_open(path: Path) -> bool:
    """Whether samples follow in a file whose header says that it has none: something else than chunks follows."""
    data = find_data(path)
    return data is not None and not _are_chunks(path, data.begin, data.end)


def remark_length(path: Path, samples: int) -> str | None:
    """What to tell of a header that disagrees with the file, of whose samples libsndfile finds ``samples``, not 0."""
    data = find_data(path)
    if data is None or data.said == 0 or data.said >= STREAMED:
        return None
    there = data.end - data.begin
    if there < data.said:
        return f"ends after {samples} samples where its header says {samples * data.said // there}"
    after = data.begin + data.said + data.said % 2
    if not _are_chunks(path, after, data.end):
        more = samples * (data.end - after) // data.said
        return f"goes on after the {samples} samples of its header; what may be {more} more are left out"
    return None


def _are_chunks(path: Path, begin: int, end: int) -> bool:
    """Whether the bytes from ``begin`` to ``end`` are nothing but whole chunks, each with a name of letters."""
    with open(path, "rb") as file:
        file.seek(begin)
        while end - file.tell() >= 8:
            head = file.read(8)
            size = int.from_bytes(head[4:], "little")
            if not all(32 <= letter < 127 for letter in head[:4]) or file.tell() + size > end:
                return False
            file.seek(size + size % 2, 1)
    return True
