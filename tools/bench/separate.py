#!/usr/bin/env python3
"""Separation of recordings: time on one core by domain and iterations, and peak memory by length."""

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jsonargparse.typing import PositiveFloat, PositiveInt

from itersep.models.blocks.dprnn import DPRNNSpec
from itersep.models.filterbank import FilterbankSpec
from itersep.models.iterative import IterativeSeparator
from itersep.separate.waves import Separator
from itersep.system.cli import run_program

RATE = 16000
# The paper's networks (section 3.2) with 1 + 2 blocks; weights change no time.
DOMAINS = {
    "time": (FilterbankSpec(), DPRNNSpec()),
    "freq": (FilterbankSpec("stft", 257, 512, 256), DPRNNSpec(chunk=24)),
}


def main(
    seconds: PositiveFloat = 60.0,
    iterations: tuple[PositiveInt, ...] = (1, 2, 3),
    hours: tuple[PositiveFloat, ...] = (0.1, 1.0, 3.0),
    rate: PositiveInt = RATE,
    repeat: PositiveInt = 3,
) -> None:
    """Time the separation of noise as `itersep-separate` does it, without files; then its memory in fresh processes.

    The real-time factor is processor time over the recording's; the best of some runs, since others only disturb.

    Args:
        seconds: length of the recording that is timed
        iterations: numbers of iterations to time
        hours: lengths whose peak memory is measured, one iteration of the frequency domain each
        rate: sample rate of the recordings; other than the model's, resampling is part of the work
        repeat: runs of which the best is taken
    """
    torch.set_num_threads(1)
    print(f"one core, {seconds:g} s at {rate} Hz\n\n| domain | iterations | real-time factor |\n|---|---:|---:|")
    for domain in DOMAINS:
        model = build(domain)
        for count in iterations:
            best_s = min(time_s(model, seconds, rate, count) for _ in range(repeat))
            print(f"| {domain} | {count} | {best_s / seconds:.3f} |", flush=True)
    print("\n| hours | peak memory (MiB) | on the clock |\n|---:|---:|---:|")
    for length in (0.0, *hours):
        code = f"import sys; sys.path[:0] = {sys.path!r}; from separate import measure; measure({length}, {rate})"
        print(
            f"| {length:g} | {subprocess.check_output([sys.executable, '-c', code], text=True).strip()} |", flush=True
        )


def build(domain: str) -> Separator:
    """An untrained model of the paper's sizes."""
    torch.manual_seed(0)
    network = IterativeSeparator(*DOMAINS[domain]).eval()
    return Separator(network, {"data": {"simulation": {"sample_rate": RATE}}})


def noise(seconds: float, rate: int) -> Iterator[np.ndarray]:
    """Seconds of noise, one after the other."""
    generator = np.random.default_rng(0)
    for start in range(0, max(1, round(seconds * rate)), rate):
        yield 0.1 * generator.standard_normal(min(rate, max(1, round(seconds * rate)) - start), dtype=np.float32)


def time_s(model: Separator, seconds: float, rate: int, iterations: int) -> float:
    """Processor time of a separation."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in model.stream(noise(seconds, rate), rate, iterations):
        pass
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(hours: float, rate: int) -> None:
    """Separate hours of noise by one iteration, and print this process's peak memory and the time on the clock."""
    torch.set_num_threads(1)
    start_s = time.perf_counter()
    time_s(build("freq"), 3600 * hours, rate, 1)
    # Not getrusage's, which a process inherits from its parent.
    lines = Path("/proc/self/status").read_text().splitlines()
    peak_kib = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    print(f"{peak_kib / 1024:.0f} | {time.perf_counter() - start_s:.0f} s")


if __name__ == "__main__":
    run_program(main)
