#!/usr/bin/env python3
"""Stage 1: speech and noise -> mixtures.jsonl, every draw of every mixture, and when rendered a data directory."""

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from itersep.simulate.engine import check_engine
from itersep.simulate.folder import render_set, write_manifest
from itersep.simulate.lists.tac import import_list
from itersep.simulate.manifest import AnyMixture
from itersep.simulate.mixture import SimulationSpec, draw_mixture, load_clips
from itersep.system.cli import run_program
from itersep.system.errors import UserError
from itersep.system.parallel import take_part

PAPER = SimulationSpec()
DRAWN = 1000  # mixtures, if --count doesn't say


def main(
    speech: str,
    out: str,
    noise: str | None = None,
    count: int | None = None,
    spec: SimulationSpec = PAPER,
    seed: int = 0,
    tac: str | None = None,
    microphone: int = 1,
    allow_missing: bool = False,
    nj: int = 1,
    part: str = "",
    render: bool = True,
) -> None:
    """Simulate a set of mixtures. Mixture k depends on the clips, the spec, the seed, the name of --out and k alone.

    With --tac, mixtures are not drawn but taken from a list of the paper's dataset. Run again after an interruption, it
    goes on; run again when all is done, it does nothing.

    Args:
        speech: data directory of utterances
        out: data directory to write; its last part is the name of the set
        noise: data directory of noise clips; none gives mixtures of speech alone
        count: number of mixtures; 1000 if not given, or all of a list
        spec: how mixtures are drawn: a yaml file, or single values such as --spec.sample_rate 8000
        seed: another seed gives other mixtures; a list has none
        tac: list of the paper's dataset, MC_Libri_{fixed,adhoc}_{train,validation,test}.pkl of its authors
        microphone: which of a list's microphones hears the mixtures; the paper's is 1
        allow_missing: leave out the mixtures of a list whose files are missing; they are named in missing.txt
        nj: number of processes
        part: I/N renders the I-th of N shares, beside others; a run without it then completes the set
        render: false writes mixtures.jsonl only
    """
    for option, value in (("count", count), ("nj", nj)):
        if value is not None and value < 1:
            raise UserError(f"--{option} must be at least 1, not {value}")
    if tac and not noise:
        raise UserError("--tac needs --noise too: every mixture of a list has a noise")
    if not tac and (microphone != 1 or allow_missing):
        raise UserError("--microphone and --allow_missing apply to a list; give --tac too")
    take_part((), part)  # raises UserError if it is invalid
    if render:
        check_engine(spec.engine)
    clips = (load_clips(speech, spec.sample_rate), load_clips(noise, spec.sample_rate) if noise else None)
    name, selection = "_".join(Path(out).resolve().name.split()), None  # an id has no blanks
    if tac:
        selection = import_list(tac, spec, name, *clips, microphone=microphone, allow_missing=allow_missing)
        mixtures = selection.mixtures[:count]
    else:
        indices = tqdm(range(count or DRAWN), f"drawing {name}", unit="mixture", leave=False, disable=None)
        mixtures = [draw_mixture(spec, *clips, seed=seed, set_name=name, index=index) for index in indices]
    write_manifest(out, mixtures)
    if selection:
        selection.report(tac, out)
    rendered = render_set(out, mixtures, *clips, nj, part) if render else 0
    done = f"{rendered} rendered now" if rendered else "nothing left to render" if render else "not rendered"
    print(f"{out}: {describe(mixtures, done + f' by part {part}' * bool(part))}")


def describe(mixtures: Sequence[AnyMixture], done: str) -> str:
    """How many mixtures there are, what was ``done`` of them, and how many of their rooms have no reverberation."""
    direct = sum(mixture.direct_only for mixture in mixtures)
    return (
        f"{len(mixtures)} mixtures, {done}; {direct} ({100 * direct / len(mixtures):.1f} %) have the direct path only: "
        "T60 is 0, or shorter than walls that absorb all sound leave it"
    )


if __name__ == "__main__":
    run_program(main)
