#!/usr/bin/env python3
"""Stage 2: train an iterative separator; run again, it goes on where it stopped."""

import json
import logging
import platform
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import yaml

import itersep
from itersep.system.cli import command_line, guard, parse
from itersep.system.errors import UserError
from itersep.system.files import claimed, read_json, write_text
from itersep.train.config import build_experiment, config_parser
from itersep.train.dataset import data_sizes
from itersep.train.distributed import World, join_world
from itersep.train.history import loss_order
from itersep.train.trainer import Trainer

log = logging.getLogger("train")


def main() -> None:
    """Train into --out: config.yaml, train.log, history.jsonl, run.json, last.pt, previous.pt, best.pt, tensorboard/.

    Started by torchrun, several processes train together: torchrun --nproc-per-node=2 utils/train.py ...
    """
    parser = config_parser()
    parser.add_argument("--out", type=str, required=True, help="experiment folder, such as exp/freq")
    parsed = parse(parser)
    out = Path(parsed.out)
    with join_world() as world:
        start_log(out / "train.log", world)
        trainer = Trainer(build_experiment(parser, parsed), out, world)
        if trainer.finished:
            if world.leads:
                check_best(trainer)
                print(f"{out}: trained already, {trainer.progress.epoch} epochs")
            return
        with claimed(out) if world.leads else nullcontext():
            run = describe_run(trainer)
            if world.leads:
                write_text(out / "config.yaml", yaml.safe_dump(trainer.experiment.config, sort_keys=False))
                before = find_turns_before(run, trainer, out / "run.json")
                whole = run | ({"before": before} if before else {})
                write_text(out / "run.json", json.dumps(whole, indent=2) + "\n")
            log_start(trainer, run)
            trainer.fit()
            if world.leads:
                check_best(trainer)
            log_end(trainer)


def start_log(path: Path, world: World) -> None:
    """Log to stdout and, appending, to a file that the first line makes; of several processes one alone."""
    handlers = [logging.FileHandler(path, encoding="utf-8", delay=True), logging.StreamHandler(sys.stdout)]
    if not world.leads:
        handlers = [logging.NullHandler()]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=handlers)


def log_start(trainer: Trainer, run: dict[str, Any]) -> None:
    """What is trained, on what, and from where on."""
    parameters, precision, device = (run[name] for name in ("parameters", "precision", "device"))
    log.info("%s parameters, %s on %s, %d processes", parameters, precision, device, trainer.world.size)
    if trainer.origin:
        log.info("going on after epoch %d, batch %d", trainer.progress.epoch, trainer.progress.batch)


def check_best(trainer: Trainer) -> None:
    """Raise UserError where there is no best.pt, since no epoch had a validation loss that is a number."""
    if not trainer.best.epochs:
        raise UserError(
            f"{trainer.out}: no epoch had a finite validation loss; lower optimizer.lr or look at the data, and train "
            "into another folder"
        )


def log_end(trainer: Trainer) -> None:
    """What best.pt holds."""
    best = min(trainer.progress.history, key=loss_order)
    epochs = trainer.best.epochs
    held = "its weights" if len(epochs) == 1 else f"the mean of the weights of epochs {sorted(epochs)}"
    log.info(
        "done: best epoch %d, valid loss %.3f; %s: %s", best["epoch"], best["valid_loss"], trainer.out / "best.pt", held
    )


def describe_run(trainer: Trainer) -> dict[str, Any]:
    """What the results page tells of a run besides its configuration and history."""
    return {
        "command": command_line(),
        "parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
        "precision": "bf16" if trainer.bf16 else "fp32",
        "device": torch.cuda.get_device_name() if trainer.device.type == "cuda" else platform.processor() or "cpu",
        "processes": trainer.world.size,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "itersep": itersep.__version__,
        "commit": find_commit(),
        "sizes": data_sizes(trainer.experiment.config),
    }


def find_turns_before(run: dict[str, Any], trainer: Trainer, path: Path) -> list[dict[str, Any]]:
    """What run.json tells of the run before it went on elsewhere, each turn with the epochs that were done by then."""
    if not (trainer.origin and path.exists()):
        return []
    last = read_json(path, "", "remove it")
    turns = last.pop("before", [])
    if any(last.get(name) != run[name] for name in run.keys() - {"command", "sizes"}):
        turns.append(last | {"epochs": trainer.progress.epoch})
    return turns


def find_commit() -> str | None:
    """The commit of this checkout, with "-dirty" where files of it were changed; None where git does not know.

    The pages of results, which stage 4 writes anew, are no change.
    """
    git = ["git", "-C", str(Path(__file__).resolve().parent.parent)]
    pages = [":!egs/*/RESULTS.md", ":!egs/*/results/*", ":!egs/*/records/*"]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "diff", "HEAD", "--quiet", "--", ".", *pages], capture_output=True).returncode
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + "-dirty" * bool(changed)


if __name__ == "__main__":
    guard(main)
