#!/usr/bin/env python3
"""Stage 0: the WHAM noises that lists of LibriMix name -> data/noise_<n>mix/train, dev and test."""

from pathlib import Path

from jsonargparse.typing import PositiveInt

from itersep.data.librispeech import name_sets
from itersep.data.prepare import prepare_sets
from itersep.data.wham import FirstChannel, find_listed
from itersep.simulate.lists.librimix import read_list
from itersep.system.cli import run_program


def main(wham: str, csv: str, out: str, nj: PositiveInt = 1) -> None:
    """Make the data directories of noise: the files where they are, or copies of their first channels.

    Args:
        wham: folder with tr/, cv/ and tt/ of WHAM's noises
        csv: the lists of train, dev and test, with commas between
        out: folder of the data directories
        nj: number of processes
    """
    names = {
        name: {line.files[-1] for line in read_list(path, with_noise=True)} for name, path in name_sets(csv).items()
    }
    sets = {name: FirstChannel(find_listed(Path(wham), names[name])) for name in names}
    prepare_sets(sets, Path(out), f"the noises of {csv} in {wham}", nj)
    for name in names:
        absent = len(names[name]) - len(sets[name].recordings)
        if absent:
            print(f"{wham}: lacks {absent} of the {len(names[name])} noises of {name}")


if __name__ == "__main__":
    run_program(main)
