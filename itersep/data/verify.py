"""SHA-256 of a simulated set: what another machine, or another day, must get from the same seed.

The manifest, SHA256SUMS in the data directory, holds mixtures.jsonl and all files below audio/; the tables follow from
them, and name paths that are this machine's. `cd data/test_2mix && sha256sum -c SHA256SUMS` reads it as well.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from itersep.system.errors import UserError
from itersep.system.files import file_digest, read_lines, write_text

SUMS = "SHA256SUMS"


class Differences(NamedTuple):
    """Names of files, relative to the data directory, that are not as the manifest says."""

    missing: list[str]
    extra: list[str]
    changed: list[str]


def write_sums(data_dir: str | Path, nj: int = 1) -> int:
    """Write the manifest of a simulated set; returns the number of files. Raises UserError if nothing is rendered."""
    digests = digest_files(data_dir, rendered_files(data_dir), nj)
    write_text(Path(data_dir) / SUMS, "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)))
    return len(digests)


def check_sums(data_dir: str | Path, nj: int = 1) -> Differences:
    """Compare a simulated set with its manifest. Raises UserError if the manifest is missing or malformed."""
    expected, found = read_sums(Path(data_dir) / SUMS), set(rendered_files(data_dir))
    digests = digest_files(data_dir, sorted(found & expected.keys()), nj)
    return Differences(
        missing=sorted(expected.keys() - found),
        extra=sorted(found - expected.keys()),
        changed=[name for name in digests if digests[name] != expected[name]],
    )


def rendered_files(data_dir: str | Path) -> list[str]:
    """Names, relative to the data directory, of mixtures.jsonl and all audio, sorted."""
    data_dir = Path(data_dir)
    audio = [path.relative_to(data_dir).as_posix() for path in data_dir.glob("audio/*/*") if path.name[0] != "."]
    if not audio:
        raise UserError(f"{data_dir}: holds no rendered audio; run the simulation stage")
    manifest = ["mixtures.jsonl"] if (data_dir / "mixtures.jsonl").exists() else []
    return sorted(manifest + audio)


def digest_files(data_dir: str | Path, names: list[str], nj: int) -> dict[str, str]:
    """SHA-256 of each file, read by ``nj`` threads (hashing lets go of Python's lock)."""
    with ThreadPoolExecutor(nj) as pool:
        digests = pool.map(lambda name: file_digest(Path(data_dir) / name), names)
        return dict(zip(names, tqdm(digests, str(data_dir), len(names), unit="file", disable=None), strict=True))


def read_sums(path: Path) -> dict[str, str]:
    """Name -> digest, as sha256sum writes them. Raises UserError that names the file and the line."""
    sums = {}
    lines = read_lines(path, "write it with --write where the set is known to be good")
    for number, line in enumerate(lines, start=1):
        match = re.fullmatch(r"([0-9a-f]{64}) [ *](.+)", line)
        if not match:
            raise UserError(f"{path}:{number}: expected '<sha256>  <file>', found '{line}'")
        sums[match[2]] = match[1]
    return sums
