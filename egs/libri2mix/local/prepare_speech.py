#!/usr/bin/env python3
"""Stage 0: parts of LibriSpeech -> data/train, data/dev and data/test, whose files stay where they are."""

from pathlib import Path

from jsonargparse.typing import PositiveInt

from itersep.data.librispeech import name_sets, speech_sets
from itersep.data.prepare import prepare_sets
from itersep.system.cli import run_program


def main(librispeech: str, parts: str, out: str = "data", nj: PositiveInt = 1) -> None:
    """Make the data directories of speech.

    Args:
        librispeech: folder that holds the parts, or LibriSpeech/<part>
        parts: parts of LibriSpeech for train, dev and test, as train-clean-100,dev-clean,test-clean
        out: folder of the data directories
        nj: number of processes; more than one helps only where the files are far away
    """
    prepare_sets(speech_sets(Path(librispeech), name_sets(parts)), Path(out), f"{parts} of {librispeech}", nj)


if __name__ == "__main__":
    run_program(main)
