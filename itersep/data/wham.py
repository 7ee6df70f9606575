"""The noises of WHAM (G. Wichern et al., 2019), as LibriMix takes them: 16 kHz, the first channel."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import soundfile

from itersep.data.audio import to_pcm
from itersep.data.audiofile import open_audio
from itersep.data.librispeech import AsFound, reason_to_skip
from itersep.data.prepare import Made, Preparation, Recording
from itersep.system.errors import UserError
from itersep.system.files import write_aside


@dataclass(frozen=True)
class FirstChannel(Preparation):
    """Recordings used where they lie if they have one channel; else their first is written to the data directory."""

    def make(self, data_dir: Path, first: int, sample_rate: int) -> Made:
        """List the recordings, with a copy of the first channel of those that have several."""
        utterances, skipped = {}, []
        for recording in self.recordings:
            try:
                path = _first_channel(recording.path, data_dir / "audio" / f"{recording.path.stem}.wav")
            except UserError as error:
                skipped.append((recording.path, reason_to_skip(error, recording.path)))
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
    with open_audio(path) as file:
        if file.channels == 1:
            return path
        samples, rate, subtype = file.read()[:, 0], file.sample_rate, file.subtype
    samples = to_pcm(samples) if subtype == "PCM_16" else samples
    with write_aside(copy) as aside:
        soundfile.write(str(aside), samples, rate, subtype="PCM_16" if subtype == "PCM_16" else "FLOAT")
    return copy
