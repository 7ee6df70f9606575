"""The manifest of a simulated set: one JSON line holds everything that was drawn, or listed, for one mixture."""

import json
import math
from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from itersep.simulate.engine import Engine
from itersep.simulate.rir import SOUND_SPEED, check_geometry, is_direct_only, path_lengths
from itersep.system.errors import UserError
from itersep.system.files import read_lines

Point = tuple[float, float, float]
LARGEST_DB = 100.0  # between voices, or between them and the noise: more is a mistake
LARGEST_GAIN = 10.0 ** (LARGEST_DB / 20.0)


@dataclass(frozen=True)
class SpeakerDraw:
    """One speaker of a mixture: which cut, where, and how much louder than the first speaker."""

    utt: str
    start: int
    position_m: Point
    level_db: float


@dataclass(frozen=True)
class NoiseDraw:
    """The noise of a mixture: which cut, where, and how far below the speech."""

    utt: str
    start: int
    position_m: Point
    snr_db: float


@dataclass(frozen=True)
class ScaledClip:
    """A whole clip times a gain."""

    utt: str
    gain: float


@dataclass(frozen=True)
class Mixture:
    """All draws of one mixture, and the engine; with the audio, they fix every sample. Starts, lengths: in samples.

    Raises ValueError for what can't be rendered.
    """

    id: str
    sample_rate: int
    length: int
    room_m: Point
    t60_s: float
    mic_m: Point
    overlap: float
    speakers: tuple[SpeakerDraw, ...]
    noise: NoiseDraw | None
    peak_limit: float
    scale_to_peak: bool = False
    engine: Engine = "image"

    def __post_init__(self) -> None:
        if not self.speakers:
            raise ValueError("a mixture has one speaker at least")
        if self.length <= 0:
            raise ValueError(f"length is {self.length}; it must be above 0")
        if any(source.start < 0 for source in self.sources):
            raise ValueError("a start lies before its clip")
        levels_db = [*(speaker.level_db for speaker in self.speakers), self.noise.snr_db if self.noise else 0.0]
        if not max(map(abs, levels_db)) <= LARGEST_DB:
            raise ValueError(f"a level is {max(levels_db, key=abs)} dB; {LARGEST_DB:g} dB is the most")
        if not 0.0 <= self.overlap <= 1.0:
            raise ValueError(f"overlap is {self.overlap}; it lies between 0 and 1")
        check_peak_limit(self.peak_limit)
        check_geometry(self.room_m, self.t60_s, self.positions_m, [self.mic_m], self.sample_rate)
        self._check_arrivals()

    def _check_arrivals(self) -> None:
        """Raise ValueError for a source whose sound takes so long to the microphone that the mixture ends before."""
        begins = [*self.delays, 0]
        paths_m = path_lengths(self.positions_m, [self.mic_m])[:, 0]
        for begin, path_m in zip(begins, paths_m, strict=False):
            if begin + path_m / SOUND_SPEED * self.sample_rate >= self.length:
                raise ValueError(
                    f"a source {path_m:.0f} m away begins at sample {begin}, and is not heard before the mixture ends "
                    f"at {self.length}; make the room smaller or the mixture longer"
                )

    @property
    def sources(self) -> tuple[SpeakerDraw | NoiseDraw, ...]:
        """The speakers, then the noise if there is one."""
        return self.speakers + ((self.noise,) if self.noise else ())

    @property
    def positions_m(self) -> list[Point]:
        """Positions of ``sources``."""
        return [source.position_m for source in self.sources]

    @property
    def direct_only(self) -> bool:
        """Whether the room is anechoic or rings longer than T60 anyway, so that only the direct paths are left."""
        return is_direct_only(self.room_m, self.t60_s)

    @property
    def cut_length(self) -> int:
        """Length of each speaker's cut, such that the last speaker's ends with the mixture."""
        return cut_length(self.length, len(self.speakers), self.overlap)

    @property
    def delays(self) -> list[int]:
        """When each speaker begins: ``overlap`` is the part of a cut that the next speaker's shares with it."""
        return [int(c * (1.0 - self.overlap) * self.cut_length) for c in range(len(self.speakers))]

    def to_json(self) -> str:
        """One line, with ``direct_only`` added for who reads the file; its floats read back to the same bits."""
        return json.dumps({**asdict(self), "direct_only": self.direct_only}, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> "Mixture":
        """The mixture of a line; raises ValueError that names what is wrong with it."""
        entry = json.loads(line)
        if isinstance(entry, dict):
            entry.pop("direct_only", None)
        return _read_value(cls, entry, "a line")


@dataclass(frozen=True)
class DryMixture:
    """Whole clips, each times its gain and from its first sample on, without a room: the mixtures of LibriMix.

    Clips at another rate are resampled to ``sample_rate``; what is longer than ``length`` samples is cut, what is
    shorter is followed by zeros. Raises ValueError for what can't be rendered.
    """

    id: str
    sample_rate: int
    length: int
    speakers: tuple[ScaledClip, ...]
    noise: ScaledClip | None

    def __post_init__(self) -> None:
        if not self.speakers:
            raise ValueError("a mixture has one speaker at least")
        for name in ("sample_rate", "length"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        for source in self.sources:
            if not 1.0 / LARGEST_GAIN <= abs(source.gain) <= LARGEST_GAIN:
                raise ValueError(f"a gain is {source.gain:g}; {LARGEST_GAIN:g} is the most, and its inverse the least")

    @property
    def sources(self) -> tuple[ScaledClip, ...]:
        """The speakers, then the noise if there is one."""
        return self.speakers + ((self.noise,) if self.noise else ())

    def to_json(self) -> str:
        """One line, which says that there is no room; its floats read back to the same bits."""
        return json.dumps({**asdict(self), "room": None}, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> "DryMixture":
        """The mixture of a line; raises ValueError that names what is wrong with it."""
        return _read_value(cls, {key: value for key, value in json.loads(line).items() if key != "room"}, "a line")


AnyMixture = Mixture | DryMixture


def parse_mixture(line: str) -> AnyMixture:
    """The mixture of a line, in a room unless the line says that there is none; raises ValueError like from_json.

    Also OverflowError, for a number beyond all measure, and RecursionError, for lists in lists without an end.
    """
    entry = json.loads(line)
    dry = isinstance(entry, dict) and entry.get("room", "some") is None
    return DryMixture.from_json(line) if dry else Mixture.from_json(line)


def cut_length(length: int, speakers: int, overlap: float) -> int:
    """Samples of each speaker in a mixture of ``length``, where neighbours share the part ``overlap`` of a cut."""
    return int(length / (speakers - (speakers - 1) * overlap))


def check_peak_limit(peak_limit: float) -> None:
    """Raise ValueError unless parts scaled to this peak, then rounded and summed, fit 16-bit audio."""
    if not 0.0 < peak_limit <= 0.99:
        raise ValueError(f"peak_limit is {peak_limit}; it lies above 0 and at 0.99 at most")


def manifest_text(mixtures: Iterable[AnyMixture]) -> str:
    """The manifest as text, a line for each mixture."""
    return "".join(mixture.to_json() + "\n" for mixture in mixtures)


def read_mixtures(path: str | Path) -> list[AnyMixture]:
    """The mixtures of a manifest, in its order. Raises UserError that names the file and the line."""
    mixtures, ids = [], set()
    for number, line in enumerate(read_lines(path, "run the simulation stage"), start=1):
        try:
            mixture = parse_mixture(line)
        except (ValueError, OverflowError, RecursionError) as error:
            raise UserError(f"{path}:{number}: {error}; simulate the set again") from None
        if mixture.id in ids:
            raise UserError(f"{path}:{number}: '{mixture.id}' appears twice; simulate the set again")
        mixtures.append(mixture)
        ids.add(mixture.id)
    return mixtures


@lru_cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _read_value(kind: Any, value: Any, name: str) -> Any:
    """``value`` from JSON as the annotated type ``kind``; raises ValueError that names the field."""
    if is_dataclass(kind) and isinstance(value, dict):
        hints = _hints(kind)
        optional = {field.name for field in fields(kind) if field.default is not MISSING}
        for key in sorted((hints.keys() ^ value.keys()) - (optional - value.keys())):
            raise ValueError(f"'{key[:40]}' {'is missing' if key in hints else 'is unknown'}")
        return kind(**{key: _read_value(hints[key], value[key], key) for key in value})
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if (kind is bool and isinstance(value, bool)) or (get_origin(kind) is Literal and value in get_args(kind)):
        return value
    if kind is str and isinstance(value, str) and value and not any(letter.isspace() for letter in value):
        return value
    if kind == Point and isinstance(value, list) and len(value) == 3:
        return tuple(_read_value(float, item, name) for item in value)
    if get_origin(kind) is tuple and get_args(kind)[-1] is ... and isinstance(value, list):
        return tuple(_read_value(get_args(kind)[0], item, name) for item in value)
    if get_origin(kind) is UnionType and get_args(kind)[-1] is NoneType:
        return None if value is None else _read_value(get_args(kind)[0], value, name)
    raise ValueError(f"'{name}' can't be {json.dumps(value)[:100]}")
