#!/usr/bin/env python3
"""Stage 1: a list of LibriMix and its corpora -> mixtures.jsonl, and when rendered a data directory."""

from typing import Literal

from jsonargparse.typing import PositiveInt

from itersep.data.audio import RESAMPLE
from itersep.simulate.folder import render_set, write_manifest
from itersep.simulate.lists.librimix import CORPUS_RATE, Mode, import_list
from itersep.simulate.mixture import load_clips
from itersep.system.cli import run_program
from itersep.system.parallel import take_part


def main(
    csv: str,
    speech: str,
    out: str,
    noise: str | None = None,
    sample_rate: Literal[8000, 16000] = 16000,
    mode: Mode = "max",
    allow_missing: bool = False,
    nj: PositiveInt = 1,
    part: str = "",
    render: bool = True,
) -> None:
    """Make a set of the mixtures of LibriMix: mix_clean, or mix_both with --noise.

    Run again after an interruption, it goes on; run again when all is done, it does nothing.

    Args:
        csv: libri2mix_<part>.csv of LibriMix, or libri3mix_<part>.csv
        speech: data directory of LibriSpeech, which has the utterances that it lists
        out: data directory to write
        noise: data directory of the WHAM noises that it lists; none gives mixtures of speech alone
        sample_rate: of the mixtures, in hertz
        mode: min cuts a mixture to its shortest utterance, max pads to the longest
        allow_missing: leave out the mixtures whose files are missing; they are named in missing.txt
        nj: number of processes
        part: I/N renders the I-th of N shares, beside others; a run without it then completes the set
        render: false writes mixtures.jsonl only
    """
    take_part((), part)  # raises UserError if it is invalid
    clips = (load_clips(speech, CORPUS_RATE, RESAMPLE), load_clips(noise, CORPUS_RATE, RESAMPLE) if noise else None)
    selection = import_list(csv, *clips, sample_rate=sample_rate, mode=mode, allow_missing=allow_missing)
    write_manifest(out, selection.mixtures)
    selection.report(csv, out)
    rendered = render_set(out, selection.mixtures, *clips, nj, part) if render else 0
    done = f"{rendered} rendered now" if rendered else "nothing left to render" if render else "not rendered"
    print(f"{out}: {len(selection.mixtures)} mixtures, {done}")


if __name__ == "__main__":
    run_program(main)
