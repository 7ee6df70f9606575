"""Corpora that can be downloaded by name, and what is published to tell that an archive is whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from itersep.data.archive import unpack
from itersep.data.download import download
from itersep.system.errors import UserError

LIBRISPEECH_SHA256 = {  # as torchaudio has them; OpenSLR publishes MD5
    "dev-clean": "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3",
    "dev-other": "12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365",
    "test-clean": "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23",
    "test-other": "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29",
    "train-clean-100": "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2",
    "train-clean-360": "146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf",
    "train-other-500": "ddb22f27f96ec163645d53215559df6aa36515f26e01dd70798188350adcb6d2",
}
LIBRIMIX_COMMIT = "09d4b8a246b7ab91b04a5d2cea11ec1e6264c366"
OPENSLR = "https://www.openslr.org/resources"


@dataclass(frozen=True)
class Source:
    """An archive: its address, and '<algorithm>:<hexadecimal>' as published, None where none is."""

    url: str
    checksum: str | None


SOURCES = {
    name: Source(f"{OPENSLR}/12/{name}.tar.gz", f"sha256:{sha256}") for name, sha256 in LIBRISPEECH_SHA256.items()
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
