"""Drawing mixtures: which voices, where, how loud, in which room."""

import hashlib
import math
from dataclasses import dataclass, fields

import numpy as np

from itersep.simulate.clips import Clips
from itersep.simulate.engine import Engine
from itersep.simulate.manifest import LARGEST_DB, Mixture, NoiseDraw, Point, SpeakerDraw, check_peak_limit, cut_length
from itersep.simulate.rir import LONGEST_T60_S, SOUND_SPEED
from itersep.system.errors import UserError

Range = tuple[float, float]  # lowest and highest; draws are uniform between
DECIMALS = 4  # of every drawn number: lines stay legible, and hold exactly what is rendered


@dataclass(frozen=True)
class SimulationSpec:
    """The distribution that mixtures are drawn from; the defaults are the paper's (section 3.1 and its dataset [28]).

    Args:
        sample_rate: of the audio, in hertz; clips must have it.
        length_s: length of a mixture.
        sources: number of speakers, all different.
        overlap: part of a speaker's cut that the next speaker's shares.
        speaker_snr_db: how much louder than the first speaker the others are, before the room.
        noise_snr_db: energy of all speakers over that of the noise, before the room.
        t60_s: reverberation time; [0, 0] is anechoic, the direct path alone.
        room_x_m: length of the room.
        room_y_m: width of the room.
        room_z_m: height of the room.
        mic_height_m: height of the microphone.
        source_height_m: height of the speakers; the noise is at any height.
        wall_margin_m: least distance of everything from walls, floor and ceiling.
        peak_limit: largest sample; what would be louder is scaled down to it as a whole.
        scale_to_peak: scale every mixture to that peak, soft ones too.
        engine: of the room impulse responses: image (ours), or gpurir where that is installed.
    """

    sample_rate: int = 16000
    length_s: float = 4.0
    sources: int = 2
    overlap: Range = (0.0, 1.0)
    speaker_snr_db: Range = (0.0, 5.0)
    noise_snr_db: Range = (10.0, 20.0)
    t60_s: Range = (0.1, 0.5)
    room_x_m: Range = (3.0, 10.0)
    room_y_m: Range = (3.0, 10.0)
    room_z_m: Range = (2.5, 4.0)
    mic_height_m: Range = (0.5, 1.5)
    source_height_m: Range = (1.0, 2.0)
    wall_margin_m: float = 0.5
    peak_limit: float = 0.9
    scale_to_peak: bool = False
    engine: Engine = "image"

    def __post_init__(self) -> None:
        for name in ("sample_rate", "length_s", "sources"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        if cut_length(round(self.length_s * self.sample_rate), self.sources, 0.0) < 1:
            raise ValueError(
                f"length_s is {self.length_s}; at {self.sample_rate} Hz, that is less than a sample for each speaker"
            )
        for name in (field.name for field in fields(self) if field.type == Range):
            low, high = getattr(self, name)
            if not (np.isfinite([low, high]).all() and low <= high):
                raise ValueError(f"{name} is [{low}, {high}]; give the lowest value, then the highest")
        if not (self.overlap[0] >= 0.0 and self.overlap[1] <= 1.0):
            raise ValueError(f"overlap is {list(self.overlap)}; it lies between 0 and 1")
        if not (self.t60_s[0] >= 0.0 and self.t60_s[1] <= LONGEST_T60_S):
            raise ValueError(f"t60_s is {list(self.t60_s)}; it lies between 0 (anechoic) and {LONGEST_T60_S:g} s")
        for name in ("speaker_snr_db", "noise_snr_db"):
            if max(map(abs, getattr(self, name))) > LARGEST_DB:
                raise ValueError(f"{name} is {list(getattr(self, name))}; {LARGEST_DB:g} dB is the most")
        check_peak_limit(self.peak_limit)
        if not 0.0 < self.wall_margin_m < min(self.room_x_m[0], self.room_y_m[0]) / 2.0:
            raise ValueError(f"wall_margin_m is {self.wall_margin_m}; it lies above 0 and below half the smallest room")
        self._check_paths()
        for name in ("mic_height_m", "source_height_m"):
            low, high = getattr(self, name)
            if low < self.wall_margin_m or high > self.room_z_m[0] - self.wall_margin_m:
                raise ValueError(f"{name} is [{low}, {high}]; it must keep wall_margin_m from floor and lowest ceiling")

    def _check_paths(self) -> None:
        """Raise ValueError if the last speaker may begin so late that a mixture ends before the sound arrives."""
        longest_m = math.hypot(self.room_x_m[1], self.room_y_m[1], self.room_z_m[1])
        shortest = cut_length(round(self.length_s * self.sample_rate), self.sources, self.overlap[0])
        longest_s, shortest_s = longest_m / SOUND_SPEED, shortest / self.sample_rate
        if longest_s >= shortest_s:
            raise ValueError(
                f"room_x_m, room_y_m, room_z_m allow {longest_m:.0f} m, which sound takes {longest_s:.2f} s for, and a "
                f"speaker's cut can be as short as {shortest_s:.2f} s; make the rooms smaller or length_s longer"
            )


def draw_mixture(
    spec: SimulationSpec, speech: Clips, noise: Clips | None, *, seed: int, set_name: str, index: int
) -> Mixture:
    """Draw mixture number ``index`` of a set; it depends on nothing but the arguments, so on no other mixture.

    Speakers are drawn evenly, without repetition, then one utterance of each. A cut begins anywhere that leaves its
    full length; a clip that is shorter is used whole. ``noise`` None gives a mixture without noise.
    Raises UserError if there are too few speakers.
    """
    found = len(speech.by_speaker)
    if found < spec.sources:
        raise UserError(f"{speech.data_dir}: has {found} speakers where a mixture needs {spec.sources}; add some")
    rng = _generator(seed, set_name, index)
    room_m = tuple(_uniform(rng, edge_m) for edge_m in (spec.room_x_m, spec.room_y_m, spec.room_z_m))
    t60_s = _uniform(rng, spec.t60_s)
    mic_m = _place(rng, room_m, spec.mic_height_m, spec.wall_margin_m)
    overlap = _uniform(rng, spec.overlap)
    length = round(spec.length_s * spec.sample_rate)
    cut = cut_length(length, spec.sources, overlap)
    speakers = []
    for speaker in rng.choice(len(speech.by_speaker), spec.sources, replace=False):
        utt = _choose(rng, speech.by_speaker[speaker])
        start = _start(rng, speech.lengths[utt], cut)
        position_m = _place(rng, room_m, spec.source_height_m, spec.wall_margin_m)
        level_db = _uniform(rng, spec.speaker_snr_db) if speakers else 0.0
        speakers.append(SpeakerDraw(utt, start, position_m, level_db))
    return Mixture(
        id=f"{set_name}-{index:06d}",
        sample_rate=spec.sample_rate,
        length=length,
        room_m=room_m,
        t60_s=t60_s,
        mic_m=mic_m,
        overlap=overlap,
        speakers=tuple(speakers),
        noise=_draw_noise(rng, spec, noise, room_m, length) if noise else None,
        peak_limit=spec.peak_limit,
        scale_to_peak=spec.scale_to_peak,
        engine=spec.engine,
    )


def _draw_noise(rng: np.random.Generator, spec: SimulationSpec, noise: Clips, room_m: Point, length: int) -> NoiseDraw:
    utt = _choose(rng, noise.utts)
    start = _start(rng, noise.lengths[utt], length)
    heights_m = (spec.wall_margin_m, room_m[2] - spec.wall_margin_m)
    position_m = _place(rng, room_m, heights_m, spec.wall_margin_m)
    return NoiseDraw(utt, start, position_m, _uniform(rng, spec.noise_snr_db))


def _generator(seed: int, set_name: str, index: int) -> np.random.Generator:
    key = hashlib.sha256(f"{seed} {index} {set_name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(key[:16], "little"))


def _uniform(rng: np.random.Generator, bounds: Range) -> float:
    return round(float(rng.uniform(*bounds)), DECIMALS)


def _choose(rng: np.random.Generator, utts: list[str]) -> str:
    return utts[rng.integers(len(utts))]


def _start(rng: np.random.Generator, available: int, wanted: int) -> int:
    return int(rng.integers(max(available - wanted, 0) + 1))


def _place(rng: np.random.Generator, room_m: Point, heights_m: Range, margin_m: float) -> Point:
    """A point that is ``margin_m`` from the walls at least, at a height within ``heights_m``."""
    x, y = (_uniform(rng, (margin_m, edge_m - margin_m)) for edge_m in room_m[:2])
    return x, y, _uniform(rng, heights_m)
