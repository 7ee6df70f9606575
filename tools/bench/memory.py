#!/usr/bin/env python3
"""Memory of a training step by number of iterations: detached, not detached, and with recomputing."""

import itertools
import statistics
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Literal

import torch
from jsonargparse.typing import PositiveInt

from itersep.losses.objective import Objective
from itersep.models.blocks.dprnn import DPRNNSpec
from itersep.models.filterbank import FilterbankSpec
from itersep.models.iterative import IterativeSeparator
from itersep.system.cli import run_program
from itersep.system.errors import UserError
from itersep.train.runtime import autocast, can_use_bf16, choose_device, keep_freed_memory, peak_memory_mib

SAMPLE_RATE, LENGTH_S, STEPS = 16000, 4, 4
NETWORKS = {
    "time": (FilterbankSpec(), DPRNNSpec()),
    "freq": (FilterbankSpec("stft", 257, 512, 256), DPRNNSpec(chunk=24)),
}


def main(
    domain: Literal["time", "freq"] = "time",
    batch_size: PositiveInt = 2,
    precision: Literal["fp32", "bf16"] = "fp32",
    threads: PositiveInt = 2,
    device: Literal["cpu", "cuda"] = "cpu",
) -> None:
    """Print a table: peak memory above that before the network was built, and seconds a mixture, of the 1 + 2 model.

    Each line is a process of its own, and memory is that process's peak (on CUDA: max_memory_allocated).

    Args:
        domain: time (learned filterbank) or freq (STFT)
        batch_size: mixtures of 4 s in a step
        precision: of the arithmetic
        threads: CPU threads
        device: where to run
    """
    place = choose_device(device)
    if precision == "bf16" and not can_use_bf16(place):
        raise UserError("--precision is bf16, which torch's LSTM cannot do on this processor; use fp32")
    context = torch.multiprocessing.get_context("spawn")
    print(f"torch {torch.__version__}, {domain}, {precision}, batches of {batch_size}, {threads} threads, {device}\n")
    print("| detach | recompute | iterations | peak MiB | to one iteration | s a mixture |\n|---|---|---|---|---|---|")
    for detach, recompute in itertools.product((True, False), (False, True)):
        one_mib = 0.0
        for iterations in (1, 2, 3):
            ours, theirs = context.Pipe()
            options = (domain, batch_size, precision, threads, device, iterations, detach, recompute, theirs)
            process = context.Process(target=measure, args=options)
            process.start()
            theirs.close()  # so that recv ends if the process does
            peak_mib, step_s = ours.recv()
            process.join()
            one_mib = one_mib or peak_mib
            words = ["yes" if value else "no" for value in (detach, recompute)]
            print(f"| {' | '.join(words)} | {iterations} | {peak_mib:.0f} | {peak_mib / one_mib:.2f} | {step_s:.3f} |")


def measure(
    domain: str,
    batch_size: int,
    precision: str,
    threads: int,
    device: str,
    iterations: int,
    detach: bool,
    recompute: bool,
    pipe: Connection,
) -> None:
    """Train some steps as the trainer does; tell the peak memory in MiB and the median seconds a mixture."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    place = choose_device(device)
    before = peak_memory_mib(place)
    filterbank, sizes = NETWORKS[domain]
    sizes = replace(sizes, recompute=recompute)
    model = IterativeSeparator(filterbank, iterations=iterations, detach=detach, dprnn=sizes)
    model = model.to(place)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    mix = torch.randn(batch_size, LENGTH_S * SAMPLE_RATE, device=place)
    ref = torch.randn(batch_size, 2, LENGTH_S * SAMPLE_RATE, device=place)
    times = []
    for _ in range(STEPS):
        start = time.perf_counter()
        optimizer.zero_grad()
        backward(model, mix, ref, precision == "bf16")
        optimizer.step()
        if place.type == "cuda":
            torch.cuda.synchronize()
        times.append((time.perf_counter() - start) / batch_size)
    pipe.send((peak_memory_mib(place) - before, statistics.median(times[1:])))


def backward(model: IterativeSeparator, mix: torch.Tensor, ref: torch.Tensor, bf16: bool) -> None:
    """The gradients, iteration by iteration where they are detached."""
    terms, kept = Objective().terms(model, mix, ref), []
    while True:
        with autocast(mix.device, bf16):
            loss, _ = next(terms, (None, None))
        if loss is None:
            break
        if model.detach:
            loss.backward()
        else:
            kept.append(loss)
    if kept:
        sum(kept).backward()


if __name__ == "__main__":
    run_program(main)
