#!/usr/bin/env python3
"""Data directories from a corpus of one's own, and a folder of noises."""

from pathlib import Path

from jsonargparse.typing import PositiveInt

from itersep.data.prepare import find_noise, find_speech, noise_set, prepare_sets, speech_set, split_speakers
from itersep.system.cli import run_program


def main(
    corpus_dir: str,
    noise_dir: str,
    speaker_level: PositiveInt | None = None,
    out: str = "data",
    nj: PositiveInt = 2,
) -> None:
    """Make the data directories train, dev and test of speech, and noise_train, noise_dev and noise_test.

    No speaker and no noise is in two sets. Which goes where depends on the names alone.

    Args:
        corpus_dir: speech, in one folder a speaker at any depth, as LibriSpeech, WSJ, VCTK, AISHELL have it
        speaker_level: which folders below corpus_dir are speakers, 1 for the outermost; found if not given
        noise_dir: noises, at any depth
        out: folder of the data directories
        nj: number of processes
    """
    # two speakers make a mixture
    recordings = find_speech(Path(corpus_dir), speaker_level)
    speech = split_speakers(recordings, 2, f"speakers (folders in {corpus_dir})")
    noise = split_speakers(find_noise(Path(noise_dir)), 1, f"noises (files in {noise_dir})")
    sets = {name: speech_set(speech[name]) for name in speech}
    sets |= {f"noise_{name}": noise_set(noise[name]) for name in noise}
    told = f" (speakers at level {speaker_level})" if speaker_level else ""
    prepare_sets(sets, Path(out), f"{Path(corpus_dir).resolve()}{told} and {Path(noise_dir).resolve()}", nj)


if __name__ == "__main__":
    run_program(main)
