"""The mixtures of LibriMix (J. Cosentino et al., 2020; github.com/JorisCos/LibriMix), as mixtures of ours.

Its lists are the csv files metadata/Libri{2,3}Mix/libri{2,3}mix_<part>.csv, a mixture a line:

    mixture_ID,source_1_path,source_1_gain,source_2_path,source_2_gain,...,noise_path,noise_gain

The paths are those of LibriSpeech and of WHAM's noises; how a line becomes signals is said at `DryMixture`.
"""

import csv
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from itersep.data.audio import audio_length
from itersep.simulate.clips import Clips
from itersep.simulate.lists.listed import FILE_NAME, Selection, clip_name, select
from itersep.simulate.manifest import LARGEST_GAIN, DryMixture, ScaledClip
from itersep.system.errors import UserError

CORPUS_RATE = 16000  # of LibriSpeech and the noises, in hertz
SOURCE = re.compile(r"source_([1-9][0-9]?)_(path|gain)")

Mode = Literal["min", "max"]


@dataclass(frozen=True)
class ListedLine:
    """A line of a list: what it calls the mixture, its files and their gains, the noise's last if it is wanted."""

    id: str
    files: tuple[str, ...]
    gains: tuple[float, ...]
    has_noise: bool
    sample_rate: int
    mode: Mode

    def build(self, speech: Clips) -> DryMixture:
        """The mixture: as long as its shortest (min) or longest utterance (max), whose headers are read for that."""
        clips = [ScaledClip(clip_name(file), gain) for file, gain in zip(self.files, self.gains, strict=True)]
        speakers = tuple(clips[: len(clips) - self.has_noise])
        shortest_or_longest = {"min": min, "max": max}[self.mode]
        length = shortest_or_longest(audio_length(speech.paths[clip.utt], CORPUS_RATE) for clip in speakers)
        return DryMixture(
            id=self.id,
            sample_rate=self.sample_rate,
            length=math.ceil(length * self.sample_rate / CORPUS_RATE),  # what resample_poly makes of it
            speakers=speakers,
            noise=clips[-1] if self.has_noise else None,
        )


def import_list(
    path: str | Path,
    speech: Clips,
    noise: Clips | None,
    *,
    sample_rate: int = CORPUS_RATE,
    mode: Mode = "max",
    allow_missing: bool = False,
) -> Selection:
    """What can be rendered of a list from ``speech`` and ``noise``, both at 16 kHz; without ``noise``, mix_clean.

    Raises UserError that names the file, the line and what is wrong with it; and like `select`.
    """
    listed = read_list(path, sample_rate, mode, with_noise=noise is not None)
    return select(path, listed, speech, noise, allow_missing)


def read_list(
    path: str | Path, sample_rate: int = CORPUS_RATE, mode: Mode = "max", with_noise: bool = False
) -> list[ListedLine]:
    """The lines of a list. Raises UserError that names the file, the line and what is wrong with it."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            rows = [(f"{path}:{reader.line_num}", row) for row in reader]
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"{path}: no such file; it is one of the lists of LibriMix, metadata/Libri2Mix/*.csv") from None
    except (UnicodeDecodeError, csv.Error):
        raise UserError(f"{path}: is not a csv file; it should be one of the lists of LibriMix") from None
    numbers = [int(match[1]) for match in map(SOURCE.fullmatch, columns) if match]
    sources = [f"source_{c}" for c in range(1, max(numbers, default=1) + 1)] + ["noise"] * with_noise
    for name in ("mixture_ID", *(f"{source}_{value}" for source in sources for value in ("path", "gain"))):
        if name not in columns:
            raise UserError(f"{path}:1: has no column {name}; is it a list of LibriMix?")
    listed, ids = [], set()
    for place, row in rows:
        listed.append(_read_row(place, row, sources, sample_rate, mode))
        if listed[-1].id in ids:
            raise UserError(f"{place}: '{listed[-1].id}' appears twice; the list is damaged")
        ids.add(listed[-1].id)
    if not listed:
        raise UserError(f"{path}: lists no mixture")
    return listed


def _read_row(place: str, row: Mapping[str, str], sources: list[str], sample_rate: int, mode: Mode) -> ListedLine:
    if None in row or None in row.values():
        raise UserError(f"{place}: has another number of cells than the first line; the list is damaged")
    names = [("mixture_ID", row["mixture_ID"]), *((f"{s}_path", row[f"{s}_path"]) for s in sources)]
    for column, name in names:
        if not FILE_NAME.fullmatch(name) or (column == "mixture_ID" and "/" in name):
            raise UserError(f"{place}: {column} is '{name[:60]}', which is not a file name; the list is damaged")
    gains = []
    for source in sources:
        try:
            gains.append(float(row[f"{source}_gain"]))
        except ValueError:
            gains.append(math.nan)
        if not 1.0 / LARGEST_GAIN <= gains[-1] <= LARGEST_GAIN:
            text = row[f"{source}_gain"][:60]
            raise UserError(f"{place}: {source}_gain is '{text}', which is not a gain; the list is damaged")
    files = tuple(row[f"{source}_path"] for source in sources)
    return ListedLine(row["mixture_ID"], files, tuple(gains), "noise" in sources, sample_rate, mode)
