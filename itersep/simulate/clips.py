"""The audio that mixtures are made of: the utterances or noises of one data directory."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from itersep.data.audio import read_audio
from itersep.data.datadir import DURATION_TOLERANCE_S, read_durations, read_table
from itersep.system.errors import UserError

SET_RATE = "resample it, or set the simulation's sample_rate to what the data have"


@dataclass(frozen=True)
class Clips:
    """Clips of one data directory. Nothing but the tables is kept in memory; ``read`` opens the file."""

    data_dir: str
    sample_rate: int
    paths: Mapping[str, str]
    speakers: Mapping[str, str]
    lengths: Mapping[str, int]  # in samples, as far as utt2dur tells
    remedy: str  # of a clip at another rate

    @cached_property
    def by_speaker(self) -> list[list[str]]:
        """The utterances of each speaker; speakers and utterances in sorted order."""
        utts: dict[str, list[str]] = {}
        for utt in sorted(self.speakers, key=lambda utt: (self.speakers[utt], utt)):
            utts.setdefault(self.speakers[utt], []).append(utt)
        return list(utts.values())

    @cached_property
    def utts(self) -> list[str]:
        """All utterances, sorted."""
        return sorted(self.paths)

    def read(self, utt: str, start: int, length: int) -> np.ndarray:
        """Samples [start, start + length) of a clip as float32, fewer where it ends before; ``length`` -1: to its end.

        Raises UserError for a clip that cannot be read, or has fewer samples than utt2dur says: it was cut short.
        """
        if utt not in self.paths:
            raise UserError(f"{self.data_dir}/wav.scp: has no '{utt}', which a mixture names; simulate the set again")
        samples = read_audio(self.paths[utt], self.sample_rate, start, length, self.remedy)
        left = self.lengths[utt] - start
        missing = (left if length < 0 else min(left, length)) - len(samples)
        if missing > DURATION_TOLERANCE_S * self.sample_rate:
            raise UserError(
                f"{self.paths[utt]}: ends {missing} samples before its end by {self.data_dir}/utt2dur; fix it, or "
                "prepare the data again"
            )
        return samples


def load_clips(data_dir: str | Path, sample_rate: int, remedy: str = SET_RATE) -> Clips:
    """Read the tables wav.scp, utt2spk and utt2dur; no audio is opened. Raises UserError if they don't agree.

    ``remedy`` is that of `read_audio`; by default it names the simulation's sample_rate.
    """
    data_dir = Path(data_dir)
    paths = read_table(data_dir / "wav.scp")
    speakers = read_table(data_dir / "utt2spk")
    durations_s = read_durations(data_dir)
    if not paths:
        raise UserError(f"{data_dir}/wav.scp: is empty")
    for name, table in (("utt2spk", speakers), ("utt2dur", durations_s)):
        for utt in sorted(paths.keys() ^ table.keys())[:1]:
            raise UserError(f"{data_dir}: '{utt}' stands in only one of wav.scp and {name}; make the directory again")
    lengths = {utt: int(seconds * sample_rate) for utt, seconds in durations_s.items()}
    return Clips(str(data_dir), sample_rate, paths, speakers, lengths, remedy)
