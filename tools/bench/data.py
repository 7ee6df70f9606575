#!/usr/bin/env python3
"""Data for training: how long the network waits for mixtures that are made while it trains, and what making them costs.

Run in a recipe's folder, whose stages 0 and 1 are done: python ../../tools/bench/data.py --config conf/freq.yaml
"""

import itertools
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from itersep.system.cli import guard, parse
from itersep.system.errors import UserError
from itersep.train.config import build_experiment, config_parser
from itersep.train.trainer import Trainer

WARM = 5  # steps before each measurement: more than the batches that a loader has ready
HELD = 4  # batches that are made once and trained on again and again


@dataclass
class Setting:
    """A division of the cores among network and data; without workers the data is made in between or held."""

    name: str
    threads: int
    batches: Iterator
    seconds: list[float] = field(default_factory=list)  # of a step, one value a round
    waiting: list[float] = field(default_factory=list)  # share of it


def main() -> None:
    """Time training steps on mixtures made by a loader's worker, made in between, and held in memory, in turn."""
    parser = config_parser()
    parser.add_argument("--steps", type=int, default=20, help="steps in each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each setting; medians are printed")
    parsed = parse(parser)
    cores = len(os.sched_getaffinity(0))
    if min(parsed.steps, parsed.rounds) < 1 or cores < 2:
        raise UserError("--steps and --rounds must be at least 1, and the machine must have two cores")
    trainer = Trainer(build_experiment(parser, parsed), Path("exp/nothing-is-written"))
    if trainer.origin:
        raise UserError(f"{trainer.origin}: is in the way; remove it")
    with ExitStack() as stack:
        worker, between = (stack.enter_context(closing(open_batches(trainer, workers))) for workers in (1, 0))
        held = itertools.cycle([next(worker) for _ in range(HELD)])
        settings = [
            Setting("held in memory", cores - 1, held),
            Setting("a worker, a core free for it", cores - 1, worker),
            Setting("held in memory", cores, held),
            Setting("a worker, no core free", cores, worker),
            Setting("made in between", cores, between),
        ]
        for setting in settings * parsed.rounds:
            measure(trainer, setting, parsed.steps)
    print_table(settings, trainer.train.batch_size, cores)


def open_batches(trainer: Trainer, workers: int) -> Iterator:
    """The trainer's batches, made by so many workers; the first is dropped, since it compiles."""
    trainer.train = replace(trainer.train, workers=workers)
    batches = trainer.batches()
    next(batches)
    return batches


def measure(trainer: Trainer, setting: Setting, steps: int) -> None:
    """Train some steps and note the time of one, and the share of it that was spent waiting for data."""
    torch.set_num_threads(setting.threads)
    waited = began = 0.0
    for step in range(-WARM, steps):
        before = time.perf_counter()
        if step == 0:
            waited, began = 0.0, before
        batch = next(setting.batches)
        waited += time.perf_counter() - before
        if isinstance(batch, UserError):
            raise batch
        trainer.step(*batch)
    spent = time.perf_counter() - began
    setting.seconds.append(spent / steps)
    setting.waiting.append(waited / spent)


def print_table(settings: list[Setting], batch_size: int, cores: int) -> None:
    """Medians; the speed is compared with that on held data at the same number of threads."""
    held = {s.threads: statistics.median(s.seconds) for s in settings if s.name == "held in memory"}
    print(f"{cores} cores, torch {torch.__version__}, batches of {batch_size}\n")
    print("| data | network's threads | mixtures a second | waiting for data, % | slower than on held data, % |")
    print("|---|---|---|---|---|")
    for s in settings:
        seconds = statistics.median(s.seconds)
        row = (s.name, s.threads, f"{batch_size / seconds:.2f}", f"{100 * statistics.median(s.waiting):.1f}")
        print("| " + " | ".join(map(str, row)) + f" | {100 * (1 - held[s.threads] / seconds):.1f} |")


if __name__ == "__main__":
    guard(main)
