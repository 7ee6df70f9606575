"""The paper's own mixtures: the lists published with its dataset (reference [28] of the paper), as mixtures of ours.

The lists are pickle files of the repository yluo42/TAC, data/configs: MC_Libri_{fixed,adhoc}_{train,validation,test}.
What they hold becomes `Mixture`s, which are rendered like any other.
"""

import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from itersep.data.datadir import DURATION_TOLERANCE_S
from itersep.simulate.clips import Clips
from itersep.simulate.draw import SimulationSpec
from itersep.simulate.lists.listed import FILE_NAME, Selection, clip_name, select
from itersep.simulate.lists.unpickle import read_pickle
from itersep.simulate.manifest import Mixture, NoiseDraw, Point, SpeakerDraw
from itersep.system.errors import UserError

RENDERING = ("peak_limit", "scale_to_peak", "engine")  # what a list leaves open, of a SimulationSpec


@dataclass(frozen=True)
class ListedMixture:
    """A mixture of a list, and the corpus files that the list names for it: two utterances, then the noise.

    The clips of ``mixture`` are called like the files, without folder and suffix.
    """

    mixture: Mixture
    files: tuple[str, str, str]
    has_noise: bool = True

    def build(self, speech: Clips) -> Mixture:
        """The mixture. Raises UserError if an utterance is shorter than its cut: then the corpus is another one."""
        for speaker in self.mixture.speakers:
            stop, length = speaker.start + self.mixture.cut_length, speech.lengths[speaker.utt]
            if stop > length + DURATION_TOLERANCE_S * self.mixture.sample_rate:
                raise UserError(
                    f"{speech.data_dir}: '{speaker.utt}' has {length} samples where mixture '{self.mixture.id}' cuts "
                    f"up to sample {stop}; is it from another corpus, or shortened?"
                )
        return self.mixture


def import_list(
    path: str | Path,
    spec: SimulationSpec,
    set_name: str,
    speech: Clips,
    noise: Clips,
    *,
    microphone: int = 1,
    allow_missing: bool = False,
) -> Selection:
    """What can be rendered of a list from ``speech`` and ``noise``.

    Raises UserError like `read_list` and `select`.
    """
    return select(path, read_list(path, spec, set_name, microphone), speech, noise, allow_missing)


def read_list(path: str | Path, spec: SimulationSpec, set_name: str, microphone: int = 1) -> list[ListedMixture]:
    """The mixtures of a list as the first, second ... ``microphone`` of their array hears them.

    The cuts of both speakers begin at one sample, and the noise at its first. Number k of the list gets the id
    <set_name>-<k>, k from 0. Of ``spec``, only what a list leaves open may differ from the defaults.
    Raises UserError naming the file, the mixture and the field that is wrong.
    """
    _check_spec(spec)
    entries = read_pickle(path)
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path}: holds {_describe(entries)} where a list of mixtures is expected")
    return [
        _Entry(f"{path}: mixture {index}", values).convert(spec, f"{set_name}-{index:06d}", microphone)
        for index, values in enumerate(entries)
    ]


def _check_spec(spec: SimulationSpec) -> None:
    listed = replace(SimulationSpec(), **{name: getattr(spec, name) for name in RENDERING})
    for name in (field.name for field in fields(spec)):
        if getattr(spec, name) != getattr(listed, name):
            raise UserError(f"--spec.{name} says how mixtures are drawn, which a list has done already; leave it out")


class _Entry:
    """One mixture of a list, whose fields are checked as they are taken; ``name`` is how messages call it."""

    def __init__(self, name: str, values: Any) -> None:
        if not isinstance(values, dict):
            raise UserError(f"{name}: is {_describe(values)} where a dict is expected")
        self.name, self.values = name, values

    def convert(self, spec: SimulationSpec, mixture_id: str, microphone: int) -> ListedMixture:
        """The entry as a mixture of ours; every field that is used is checked."""
        utterances, noise_file = self.take_files("speech", 2), self.take_files("noise")
        utts = [clip_name(file) for file in (*utterances, *noise_file)]
        start, levels_db = self.take_start(), (0.0, self.take_number("spk_snr"))
        positions_m = self.take_points("spk_pos", 2)
        speakers = tuple(
            SpeakerDraw(utt, start, position_m, level_db)
            for utt, position_m, level_db in zip(utts, positions_m, levels_db, strict=False)
        )
        try:
            mixture = Mixture(
                id=mixture_id,
                sample_rate=spec.sample_rate,
                length=round(spec.length_s * spec.sample_rate),
                room_m=self.take_point("room_size"),
                t60_s=self.take_number("RT60"),
                mic_m=self.take_microphone(microphone),
                overlap=self.take_number("overlap_ratio"),
                speakers=speakers,
                noise=NoiseDraw(utts[-1], 0, self.take_points("noise_pos", 1)[0], self.take_number("noise_snr")),
                **{name: getattr(spec, name) for name in RENDERING},
            )
        except ValueError as error:
            raise UserError(f"{self.name}: {error}; the list is damaged") from None
        return ListedMixture(mixture, (*utterances, *noise_file))

    def take_number(self, key: str) -> float:
        """A finite number."""
        value = self._take(key)
        return float(value) if _is_number(value) else self._refuse(key, value, "a number")

    def take_start(self) -> int:
        """The sample where both cuts begin."""
        value = self._take("start_idx")
        fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31
        return value if fits else self._refuse("start_idx", value, "a whole number of samples")

    def take_point(self, key: str) -> Point:
        """Three coordinates in metres."""
        value = self._take(key)
        return _as_point(value) or self._refuse(key, value, "three numbers")

    def take_points(self, key: str, count: int | None = None) -> list[Point]:
        """A list of points, ``count`` of them or at least one."""
        value = self._take(key)
        points = [_as_point(point) for point in value] if isinstance(value, list) else []
        if not points or not all(points) or count not in (None, len(points)):
            self._refuse(key, value, f"{count or 'some'} points of three numbers")
        return points

    def take_microphone(self, microphone: int) -> Point:
        """The position of microphone 1, 2 ...; some lists give their number as well."""
        mics_m = self.take_points("mic_pos")
        if self.values.get("num_mic", len(mics_m)) != len(mics_m):
            self._refuse("num_mic", self.values["num_mic"], f"{len(mics_m)}, the number of points in 'mic_pos'")
        if not 1 <= microphone <= len(mics_m):
            raise UserError(f"{self.name}: has microphones 1 to {len(mics_m)}, not {microphone}; choose another one")
        return mics_m[microphone - 1]

    def take_files(self, key: str, count: int | None = None) -> list[str]:
        """``count`` paths of audio files in a corpus, or a single one that is in no list."""
        value = self._take(key)
        files = value if isinstance(value, list) else []
        if count is None:
            files = [value]
        if len(files) != (count or 1) or not all(isinstance(file, str) and FILE_NAME.fullmatch(file) for file in files):
            self._refuse(key, value, f"{count} file names" if count else "a file name")
        return files

    def _take(self, key: str) -> Any:
        if key not in self.values:
            raise UserError(f"{self.name}: '{key}' is missing; is this a list of mixtures of the TAC repository?")
        return self.values[key]

    def _refuse(self, key: str, value: Any, expected: str) -> Any:
        raise UserError(f"{self.name}: '{key}' is {_describe(value)} where {expected} is expected; the list is damaged")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _as_point(value: Any) -> Point | None:
    return tuple(map(float, value)) if isinstance(value, list) and [*map(_is_number, value)] == [True] * 3 else None


def _describe(value: Any) -> str:
    """A value in few words, however large it is."""
    if isinstance(value, int | float | str | None):
        return repr(value)[:60]
    return f"a {type(value).__name__} of {len(value)}" if isinstance(value, list | dict | tuple) else "something else"
