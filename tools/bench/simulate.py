#!/usr/bin/env python3
"""Simulation from files to files: time a part of a set, and project the whole of the paper's data."""

import os
import resource
import tempfile
import time
from pathlib import Path

from itersep.simulate.folder import render_set, write_manifest
from itersep.simulate.mixture import Clips, SimulationSpec, draw_mixture, load_clips
from itersep.system.cli import run_program
from itersep.system.errors import UserError

FEWEST = 200  # mixtures whose time stands out from that of starting the processes
STARTS = 3  # times that the start is timed
WHOLE = 20000 + 5000 + 3000  # mixtures of the paper: training, validation, test


def main(speech: str, noise: str, count: int = 400, nj: int = 2, seed: int = 0, folder: str = ".") -> None:
    """Time what utils/simulate.py does: drawing, reading cuts, rendering, writing four files a mixture, the tables.

    Sets are made and removed: some of a mixture a process, the fastest of which tells what the start costs once, and
    one of --count mixtures more. The difference is the time of these. Processor time is that of all processes together:
    it changes little when other programs share the machine, while the time on the clock does.

    Args:
        speech: data directory of utterances
        noise: data directory of noise clips
        count: number of mixtures, 200 at least
        nj: number of processes
        seed: another seed gives other mixtures
        folder: where to write the sets, which need half a megabyte a mixture; disks differ
    """
    for name, value, least in (("count", count, FEWEST), ("nj", nj, 1)):
        if value < least:
            raise UserError(f"--{name} must be at least {least}, not {value}")
    spec = SimulationSpec()
    clips = (load_clips(speech, spec.sample_rate), load_clips(noise, spec.sample_rate))
    with tempfile.TemporaryDirectory(dir=folder) as out:
        simulate(Path(out) / "warm", spec, clips, nj, nj, seed)  # compiles
        starts = [simulate(Path(out) / f"start{k}", spec, clips, nj, nj, seed) for k in range(STARTS)]
        all_s, all_cpu_s = simulate(Path(out) / "part", spec, clips, nj + count, nj, seed)
    start_s, start_cpu_s = map(min, zip(*starts, strict=True))
    wall_s, cpu_s = (all_s - start_s) / count, (all_cpu_s - start_cpu_s) / count
    print(f"{count} mixtures of {spec.length_s:g} s, {nj} processes, {os.cpu_count()} cores, ", end="")
    print(f"load {os.getloadavg()[0]:.1f} at the end\n")
    print(f"| | a mixture | the start, once | all {WHOLE} mixtures |\n|---|---|---|---|")
    for name, each_s, once_s in (("on the clock", wall_s, start_s), ("processor time", cpu_s, start_cpu_s)):
        print(f"| {name} | {1000 * each_s:.1f} ms | {once_s:.1f} s | {(once_s + WHOLE * each_s) / 60:.1f} min |")
    ideal_min = (start_s + WHOLE * cpu_s / nj) / 60
    print(f"\nOn {nj} free cores, and a disk that keeps up, all {WHOLE} take {ideal_min:.1f} min.")


def simulate(
    out: Path, spec: SimulationSpec, clips: tuple[Clips, Clips], count: int, nj: int, seed: int
) -> tuple[float, float]:
    """Draw and render a set; returns the seconds on the clock and of processor time."""
    before_s, before_cpu_s = time.perf_counter(), cpu_time_s()
    mixtures = [draw_mixture(spec, *clips, seed=seed, set_name=out.name, index=index) for index in range(count)]
    write_manifest(out, mixtures)
    render_set(out, mixtures, *clips, nj)
    return time.perf_counter() - before_s, cpu_time_s() - before_cpu_s


def cpu_time_s() -> float:
    """Processor time of this process and of those that it has waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    run_program(main)
