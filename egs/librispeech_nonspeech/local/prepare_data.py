#!/usr/bin/env python3
"""Stage 0: LibriSpeech and the Nonspeech sounds -> data/<set> and data/noise_<set> for train, dev and test."""

from pathlib import Path

from jsonargparse.typing import PositiveInt

from itersep.data.librispeech import NOISES, name_sets, noise_sets, speech_sets
from itersep.data.prepare import prepare_sets
from itersep.system.cli import run_program


def main(
    librispeech: str, nonspeech: str, parts: str, noise_resample: bool = False, out: str = "data", nj: PositiveInt = 1
) -> None:
    """Make the data directories of speech and noise.

    Args:
        librispeech: folder that holds the parts, or LibriSpeech/<part>
        nonspeech: folder that holds n1.wav .. n100.wav
        parts: parts of LibriSpeech for train, dev and test, as train-clean-100,dev-clean,test-clean
        noise_resample: resample the noises to 16 kHz, instead of calling their samples 16 kHz as the paper's data do
        out: folder of the data directories; the noises as 16 kHz files go into its folder noise
        nj: number of processes; more than one helps only where the files are far away
    """
    sets = speech_sets(Path(librispeech), name_sets(parts))
    noises = noise_sets(Path(nonspeech), Path(out) / "noise", noise_resample)
    how = "resampled" if noise_resample else "as stored"
    prepare_sets(sets | noises, Path(out), f"{parts} of {librispeech} and the sounds of {nonspeech} {how}", nj)
    missing = sorted(set(NOISES) - {recording.speaker for recording in noises["noise_test"].recordings})
    if missing:
        print(f"{nonspeech}: has {100 - len(missing)} of the 100 noises; {', '.join(missing[:5])} are missing")


if __name__ == "__main__":
    run_program(main)
