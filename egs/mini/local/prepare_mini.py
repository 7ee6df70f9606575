#!/usr/bin/env python3
"""Data directories from the Debian packages of egs/mini: which file is whose voice, and which set it goes to."""

import re
from pathlib import Path

from jsonargparse.typing import PositiveInt

from itersep.data.prepare import Recording, find_audio, noise_set, prepare_sets, speech_set, split_speakers
from itersep.system.cli import run_program
from itersep.system.errors import UserError

# Speaker -> pattern of the paths of its files. An id is language and sex, the latter by credits or pitch (x: unsure).
# Fillets is a dialogue of two fish: -m- marks the lines of the small one, -v- those of the big one.
TRAIN = {
    "cs-f": "fillets-ng/sound/.*/cs/.*-m-",
    "cs-m": "fillets-ng/sound/.*/cs/.*-v-",
    "nl-f": "fillets-ng/sound/.*/nl/.*-m-",
    "nl-m": "fillets-ng/sound/.*/nl/.*-v-",
    "en-f": "asterisk/sounds/en_",
    "fr-f": "asterisk/sounds/fr_",
    "it-m": "asterisk/sounds/it_",
    "ru-f": "asterisk/sounds/ru_",
}
# No one says whether a language's speakers in KTuberling and KLettres are one person: each language is taken from
# one of the two, and is in one set only. Where two people share a language in KTuberling (their pitch is an octave
# apart), they recorded different themes, which the file names tell.
DEV = {
    "ar-f": "klettres/ar/",
    "de-m": "ktuberling/sounds/de/",
    "en-m": "ktuberling/sounds/en/",
    "he-m": "klettres/he/",
    "it-f": "klettres/it/",
    "lt-m": "ktuberling/sounds/lt/",
    "nl-f2": "klettres/nl/",
    "ru-f2": "ktuberling/sounds/ru/(xmas|tux|[a-z]+-tux)",
    "ru-m": "ktuberling/sounds/ru/(egypt|moon|pizzeria)_",
    "sl-m": "ktuberling/sounds/sl/",
}
TEST = {
    "ca-f": "ktuberling/sounds/ca/(butterflies|egypt|moon|patata|robot|tv|xmas)_",
    "ca-m": "ktuberling/sounds/ca/(pizzeria_|[A-Za-z-]+[.])",
    "da-f": "ktuberling/sounds/da/(xmas|tux|[a-z]+-tux)",
    "da-m": "ktuberling/sounds/da/(egypt_|moon_|pizza_|tv_|[a-z]+[.])",
    "el-m": "ktuberling/sounds/el/",
    "es-x": "klettres/es/",
    "fr-m": "ktuberling/sounds/fr/",
    "gl-f": "ktuberling/sounds/gl/",
    "hu-m": "klettres/hu/",
    "ml-m": "klettres/ml/alpha/",  # ml/syllab/ has nine times as much, and would outweigh all others
    "nn-f": "ktuberling/sounds/nn/",
    "pt-f": "klettres/pt_BR/",
    "uk-f": "ktuberling/sounds/uk/",
    "wa-m": "ktuberling/sounds/wa/",
}
NOT_SPEECH = re.compile("/silence/|/beep|-2tone[.]|tt-monkeys[.]|confbridge-(join|leave)[.]|[.]theme[.]")
NOISE = re.compile("sonic-pi/samples/")


def find_voices(paths: list[Path], patterns: dict[str, str]) -> list[Recording]:
    """Recordings of the speakers in ``patterns``. Raises UserError for a speaker without files."""
    recordings = []
    for speaker, pattern in patterns.items():
        regex = re.compile(pattern)
        mine = [path for path in paths if regex.search(path.as_posix()) and not NOT_SPEECH.search(path.as_posix())]
        if not mine:
            raise UserError(f"no recordings of speaker {speaker} ({pattern}) were found; run local/download.sh")
        recordings += [Recording(path, speaker) for path in mine]
    return recordings


def main(downloads: str = "downloads", out: str = "data", nj: PositiveInt = 2) -> None:
    """Make data directories from the unpacked Debian packages.

    Args:
        downloads: folder that local/download.sh filled
        out: folder of the data directories
        nj: number of processes
    """
    paths = find_audio(Path(downloads))
    noises = split_speakers(
        [Recording(path, path.stem) for path in paths if NOISE.search(path.as_posix())], 30, "noises"
    )
    voices = {"train": TRAIN, "dev": DEV, "test": TEST}
    sets = {name: speech_set(find_voices(paths, voices[name])) for name in voices}
    sets |= {f"noise_{name}": noise_set(noises[name]) for name in noises}
    prepare_sets(sets, Path(out), "Debian packages", nj)


if __name__ == "__main__":
    run_program(main)
