"""The noises of WHAM (G. Wichern et al., 2019), as LibriMix takes them: 16 kHz, the first channel."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import soundfile

from itersep.data.librispeech import AsFound
from itersep.data.prepare import Made, Preparation, Recording
from itersep.errors import UserError
from itersep.files import write_aside


@dataclass(frozen=True)
class FirstChannel(Preparation):
    """Recordings used where they lie if they have one channel; else their first is written to the data directory."""

    def make(self, data_dir: Path, first: int, sample_rate: int) -> Made:
        utterances, skipped = {}, []
        for recording in self.recordings:
            try:
                path = _first_channel(recording.path, data_dir / "audio" / f"{recording.path.stem}.wav")
            except (soundfile.LibsndfileError, OSError) as error:
                skipped.append((recording.path, f"cannot be read ({error})"))
                continue
            made, bad = AsFound([Recording(path, recording.speaker)]).make(data_dir, first, sample_rate)
            utterances |= made
            skipped += bad
        return utterances, skipped


def find_listed(wham: Path, names: Iterable[str]) -> list[Recording]:
    """Recordings of those of the files ``names`` that are there; raises UserError if none is."""
    names = sorted(names)
    found = [Recording(path, path.stem) for path in (wham / name for name in names) if path.exists()]
    if not found:
        raise UserError(f"{wham}: has none of the {len(names)} noises that are listed, such as {names[0]}")
    return found


def _first_channel(path: Path, copy: Path) -> Path:
    """``path`` if it has one channel, else ``copy``, to which the samples of the first are written as they are."""
    info = soundfile.info(str(path))
    if info.channels == 1:
        return path
    dtype, subtype = ("int16", "PCM_16") if info.subtype == "PCM_16" else ("float32", "FLOAT")
    samples, rate = soundfile.read(str(path), dtype=dtype)
    with write_aside(copy) as aside:
        soundfile.write(str(aside), samples[:, 0], rate, subtype=subtype)
    return copy
