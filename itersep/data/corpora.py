"""Corpora that can be downloaded by name, and what is published to tell that an archive is whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torchaudio.datasets import librispeech

from itersep.data.archive import unpack
from itersep.data.download import download
from itersep.errors import UserError

LIBRISPEECH_SHA256 = librispeech._CHECKSUMS  # by address; not public, but setup.py fixes torchaudio's version
LIBRIMIX_COMMIT = "09d4b8a246b7ab91b04a5d2cea11ec1e6264c366"
OPENSLR = "https://www.openslr.org/resources"


@dataclass(frozen=True)
class Source:
    """An archive: its address, and '<algorithm>:<hexadecimal>' as published, None where none is."""

    url: str
    checksum: str | None


SOURCES = {
    Path(url).name.removesuffix(".tar.gz"): Source(f"{OPENSLR}/12/{Path(url).name}", f"sha256:{sha256}")
    for url, sha256 in LIBRISPEECH_SHA256.items()
} | {
    "train-clean-5": Source(f"{OPENSLR}/31/train-clean-5.tar.gz", "md5:5df7d4e78065366204ca6845bb08f490"),
    "dev-clean-2": Source(f"{OPENSLR}/31/dev-clean-2.tar.gz", "md5:6d7ab67ac6a1d2c993d050e16d61080d"),
    # its lists of mixtures are in metadata/
    "librimix": Source(f"https://github.com/JorisCos/LibriMix/archive/{LIBRIMIX_COMMIT}.tar.gz", None),
    "nonspeech": Source("http://web.cse.ohio-state.edu/pnl/corpus/HuNonspeech/Nonspeech.zip", None),
}


def fetch_corpora(names: Sequence[str], downloads: str | Path, openslr: str = OPENSLR) -> None:
    """Download and unpack corpora to ``downloads``/<name>; those that are there are left alone.

    ``openslr`` is OpenSLR's address, or that of a mirror with the same folders. An archive is removed once it is
    unpacked. Raises UserError for an unknown name, and like `download` and `unpack`.
    """
    for name in names:
        if name not in SOURCES:
            raise UserError(f"'{name}' is none of the corpora that can be downloaded: {', '.join(SOURCES)}")
    for name in names:
        source, folder = SOURCES[name], Path(downloads) / name
        archive = Path(downloads) / Path(source.url).name
        if not folder.exists():
            download(source.url.replace(OPENSLR, openslr.rstrip("/")), archive, source.checksum)
            unpack(archive, folder)
        archive.unlink(missing_ok=True)  # also where a kill came before it
