"""LibriSpeech and the 100 Nonspeech sounds as data directories, as the paper's dataset takes them.

Speech stays where it is: nothing is copied or changed. Noises are written once more, as 16 kHz files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from itersep.data.audio import audio_length, write_audio
from itersep.data.clean import UnusableError, decode, resample
from itersep.data.prepare import Made, Preparation, Recording, Utterance, add_utterance
from itersep.system.errors import UserError

NOISES = sorted(f"n{number}" for number in range(1, 101))
HEARD_NOISES = NOISES[:80]  # by name as text (n1, n10, n100, n11, ..): those of the published validation list
PEAK = 0.9  # of a resampled noise that would clip; a mixture sets its own level


@dataclass(frozen=True)
class AsFound(Preparation):
    """Recordings used where they lie: the file name is the utterance, and only headers are read, if they tell."""

    def make(self, data_dir: Path, first: int, sample_rate: int) -> Made:
        """List the recordings where they lie, without those that cannot be read."""
        utterances, skipped = {}, []
        for recording in self.recordings:
            path = recording.path
            try:
                length = audio_length(path, sample_rate)
            except UserError as error:
                skipped.append((path, reason_to_skip(error, path)))
                continue
            add_utterance(utterances, path.stem, Utterance(path, recording.speaker, length / sample_rate))
        return utterances, skipped


def reason_to_skip(error: UserError, path: Path) -> str:
    """What an error says of a file, without the file's name and the remedy: short enough to count by."""
    return str(error).removeprefix(f"{path}: ").partition(";")[0]


@dataclass(frozen=True)
class Noise(Preparation):
    """Noises written to ``folder``: their samples as stored and called 16 kHz, or ``resampled`` to it.

    The published procedure reads the samples as stored, though the sounds were recorded at 20 kHz: they last longer
    and sound lower than they were.
    """

    folder: Path
    resampled: bool

    def make(self, data_dir: Path, first: int, sample_rate: int) -> Made:
        """Write the noises to ``folder``, and list them."""
        utterances, skipped = {}, []
        for recording in self.recordings:
            path = self.folder / f"{recording.speaker}.wav"
            try:
                samples, rate = decode(recording.path)
                if not samples.any():
                    raise UnusableError("silent or empty")
                if self.resampled:
                    samples = resample(samples, rate, sample_rate)
                    samples *= min(1.0, PEAK / np.abs(samples).max())
            except UnusableError as error:
                skipped.append((recording.path, str(error)))
                continue
            write_audio(path, samples, sample_rate)
            utterances[recording.speaker] = Utterance(path, recording.speaker, samples.size / sample_rate)
        return utterances, skipped


def name_sets(parts: str) -> dict[str, str]:
    """Set -> part, of three parts with commas between. Raises UserError if they are not three."""
    names = parts.split(",")
    if len(names) != 3 or not all(names):
        raise UserError(f"--parts needs three names with commas between, for train, dev and test, not '{parts}'")
    return dict(zip(("train", "dev", "test"), names, strict=True))


def speech_sets(librispeech: Path, parts: Mapping[str, str]) -> dict[str, AsFound]:
    """What each set is made from, by ``parts``: set -> part of LibriSpeech.

    A part that several sets name is divided among them by speaker. Raises UserError for a part that isn't there.
    """
    sets = {}
    for name, part in parts.items():
        recordings = find_part(librispeech, part)
        sharing = [other for other in parts if parts[other] == part]
        speakers = sorted({recording.speaker for recording in recordings})[sharing.index(name) :: len(sharing)]
        sets[name] = AsFound([recording for recording in recordings if recording.speaker in set(speakers)])
    return sets


def find_part(librispeech: Path, part: str) -> list[Recording]:
    """Recordings of a part, <part>/<speaker>/<chapter>/*.flac, in the places where it may lie below ``librispeech``.

    Raises UserError that names the folder if there are none.
    """
    for place in (part, f"LibriSpeech/{part}", f"{part}/LibriSpeech/{part}"):
        paths = sorted((librispeech / place).glob("*/*/*.flac"))
        if paths:
            return [Recording(path, path.parts[-3]) for path in paths]
    raise UserError(f"{librispeech}: has no {part}/<speaker>/<chapter>/*.flac; name the parts that it has")


def noise_sets(nonspeech: Path, folder: Path, resampled: bool) -> dict[str, Noise]:
    """The noises of each set: test has all, train and dev those of HEARD_NOISES. Files n<number>.wav at any depth.

    Raises UserError if there are none.
    """
    paths = sorted(path for path in nonspeech.rglob("*") if path.suffix.lower() == ".wav")
    found = {path.stem.lower(): path for path in paths}
    if not found.keys() & set(HEARD_NOISES):
        raise UserError(f"{nonspeech}: holds no noises n1.wav .. n100.wav")
    heard = {"noise_train": HEARD_NOISES, "noise_dev": HEARD_NOISES, "noise_test": NOISES}
    return {
        name: Noise([Recording(found[noise], noise) for noise in noises if noise in found], folder, resampled)
        for name, noises in heard.items()
    }
