"""The configuration of an experiment: yaml checked against the constructors of what it configures."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentParser, Namespace

from itersep.losses.objective import Objective
from itersep.models.blocks import BLOCKS
from itersep.models.filterbank import FilterbankSpec
from itersep.models.iterative import IterativeSeparator
from itersep.system.cli import make_parser
from itersep.system.errors import UserError
from itersep.train.dataset import DataSpec
from itersep.train.network import TRAINING_GROUPS, add_model_settings, build, parse_stored, plain_settings, rebuild

MOST_THREADS = 1024


@dataclass(frozen=True)
class OptimizerSpec:
    """Adam, its learning rate over time, and gradient clipping; the defaults are the paper's (section 3.3).

    Args:
        lr: highest learning rate
        schedule: step (times `decay` every `decay_epochs`) or cosine (down to zero at the last epoch)
        decay: factor of the step schedule
        decay_epochs: epochs between the steps of the step schedule
        warmup_steps: the rate rises linearly over this many optimizer steps
        clip_norm: largest norm of the gradient
    """

    lr: float = 1e-3
    schedule: Literal["step", "cosine"] = "step"
    decay: float = 0.98
    decay_epochs: int = 2
    warmup_steps: int = 0
    clip_norm: float = 5.0

    def __post_init__(self) -> None:
        for name in ("lr", "decay", "decay_epochs", "clip_norm"):
            if getattr(self, name) <= 0:
                raise ValueError(f"optimizer.{name} must be above 0, not {getattr(self, name)}")
        if self.warmup_steps < 0:
            raise ValueError(f"optimizer.warmup_steps must not be negative ({self.warmup_steps})")


def learning_rate(spec: OptimizerSpec, step: int, steps_per_epoch: int, epochs: int) -> float:
    """The learning rate of an optimizer step, counted from 0."""
    warmup = min(1.0, (step + 1) / spec.warmup_steps) if spec.warmup_steps else 1.0
    if spec.schedule == "cosine":
        return spec.lr * warmup * 0.5 * (1 + math.cos(math.pi * step / (steps_per_epoch * epochs)))
    return spec.lr * warmup * spec.decay ** (step // steps_per_epoch // spec.decay_epochs)


@dataclass(frozen=True)
class TrainSpec:
    """The training loop; epochs and patience are the paper's.

    Args:
        epochs: how many at most
        one_pass_epochs: in so many of them, the first, only one iteration is trained; it costs less, and later
            iterations then start from estimates that are worth something; fewer than all, where there are later ones
        draw_iterations: train the first 1 to all iterations, their number drawn at each step with equal chances
        patience: stop after this many epochs without a better validation loss
        batch_size: mixtures a step, of all processes together
        accumulate: parts in which a process's share of a batch passes through the network, one after the other, to
            one step; the memory that a step needs falls with their number, what it does stays the same
        average_best: best.pt holds the mean of the weights of so many epochs, the best so far
        seed: of the initial weights, the order of the data and the fresh mixtures
        precision: fp32, bf16 (autocast), or auto (bf16 where the processor or GPU has units for it)
        device: cpu, cuda, or auto (cuda where there is one)
        threads: CPU threads of the network, in each training process; 0 leaves the choice to torch
        workers: processes that prepare data beside each training process; 0 prepares it in between
        save_every_s: seconds between checkpoints within an epoch
    """

    epochs: int = 100
    one_pass_epochs: int = 0
    draw_iterations: bool = False
    patience: int = 10
    batch_size: int = 8
    accumulate: int = 1
    average_best: int = 1
    seed: int = 0
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    device: Literal["cpu", "cuda", "auto"] = "auto"
    threads: int = 0
    workers: int = 1
    save_every_s: float = 300.0

    def __post_init__(self) -> None:
        ones = ("epochs", "patience", "batch_size", "accumulate", "average_best")
        least = {**dict.fromkeys(ones, 1), "one_pass_epochs": 0, "threads": 0, "workers": 0}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f"train.{name} must be at least {bound}, not {getattr(self, name)}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"train.seed must lie between 0 and 2^63, not {self.seed}")
        if self.threads > MOST_THREADS:  # torch crashes where the system gives it no more
            raise ValueError(f"train.threads must be at most {MOST_THREADS}, not {self.threads}")


@dataclass(frozen=True)
class Experiment:
    """All that an experiment's configuration describes, built; `config` is the plain resolved yaml."""

    config: dict[str, Any]
    model: IterativeSeparator
    objective: Objective
    data: DataSpec
    optimizer: OptimizerSpec
    train: TrainSpec


PARTS = dict(zip(TRAINING_GROUPS, (Objective, DataSpec, OptimizerSpec, TrainSpec), strict=True))


def config_parser() -> ArgumentParser:
    """Parser of experiment yaml files, laid over each other in order, and of overrides on the command line."""
    parser = make_parser("Train an iterative separator.")
    parser.add_argument("--config", action="config", help="yaml file; may be given again, later ones override")
    add_model_settings(parser)
    for name, part in PARTS.items():
        parser.add_class_arguments(part, name, sub_configs=True, fail_untyped=True)
    for name in ("sample_rate", "sources"):  # the model's; mixtures are made to fit it
        parser.link_arguments(f"model.{name}", f"data.simulation.{name}")
    return parser


def build_experiment(parser: ArgumentParser, parsed: Namespace) -> Experiment:
    """Build all parts of a training; the initial weights follow from train.seed.

    Raises UserError for values that cannot be, and for ones that train something else than they say.
    """
    experiment = _build_parts(parser, parsed)
    _check_sense(experiment)
    return experiment


def _build_parts(parser: ArgumentParser, parsed: Namespace) -> Experiment:
    built = build(parser, parsed, parsed.train.seed)
    return Experiment(plain_config(parser, parsed), built["model"], **{name: built[name] for name in PARTS})


def _check_sense(experiment: Experiment) -> None:
    """What a training must not start with, though the models of older ones that did are still read."""
    model, train = experiment.model, experiment.train
    if experiment.objective.oracle_bias and not model.takes_bias:
        raise UserError(
            f"objective.oracle_bias gives the network the clean targets, but model.feedback is {model.feedback}; leave "
            "it out, or feed estimates back"
        )
    if model.iterations > 1 and train.one_pass_epochs >= train.epochs:
        raise UserError(
            f"train.one_pass_epochs is {train.one_pass_epochs} and train.epochs {train.epochs}, so that only the first "
            "iteration would be trained; give more epochs, or fewer of one pass"
        )
    if experiment.objective.layerwise and not model.siso.blocks:
        raise UserError(
            "objective.layerwise scores every SISO block, but model.separator.siso_blocks is 0; leave it out, or have "
            "SISO blocks"
        )
    spec, learned = model.filterbank.spec, FilterbankSpec()
    if spec.kind == "stft" and (spec.window, spec.hop) == (learned.window, learned.hop):
        raise UserError(
            f"model.filterbank.kind is stft, but window and hop ({spec.window}, {spec.hop}) are those of the learned "
            "filterbank; set filters, window and hop too, such as 257, 512 and 256 (32 ms at 16 kHz)"
        )


def plain_config(parser: ArgumentParser, parsed: Namespace) -> dict[str, Any]:
    """What was parsed as plain data, in the order of the parts: `plain_settings` of all of them."""
    config = plain_settings(parser, parsed)
    return {name: config[name] for name in ("model", *PARTS)}


def complete_config(config: Any, origin: object) -> dict[str, Any]:
    """A stored configuration, of this version or an earlier one, with the defaults of settings that it lacks.

    UserError is that of `parse_stored`.
    """
    parser = config_parser()
    return plain_config(parser, parse_stored(parser, config, origin))


def rebuild_experiment(config: Any, origin: object) -> Experiment:
    """Build the experiment of a stored configuration. UserError is that of `parse_stored`."""
    parser = config_parser()
    parsed = parse_stored(parser, config, origin)
    return rebuild(origin, lambda: _build_parts(parser, parsed))


# What may differ between a checkpoint and the run that resumes from it: where and for how long, not what is trained.
# Device, threads, parts of a batch and number of processes change it by rounding alone, and a run may have to move to a
# machine with other memory and cores.
MAY_CHANGE = (
    *("train.epochs", "train.patience", "train.save_every_s"),
    *("train.device", "train.threads", "train.workers", "train.accumulate"),
    *(f"model.{block}.recompute" for block in BLOCKS),
)
# Where the data lie may change as well, since what they hold is compared (`data_digests`): data are copied to a disk of
# the machine that trains.
DATA_PLACES = ("train", "noise", "dev")


def check_same_experiment(stored: dict[str, Any], current: dict[str, Any], path: str | Path) -> None:
    """Raise UserError naming the first setting in which a checkpoint to resume from differs from the configuration.

    A setting that the checkpoint's version did not know counts as having had its default.
    """
    old, new = (fixed_settings(config) for config in (complete_config(stored, path), current))
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            raise UserError(
                f"{path}: was trained with {name} = {old.get(name)}, not {new.get(name)}; "
                "set it back, or train into another folder"
            )


def check_same_data(state: dict[str, Any], config: dict[str, Any], data: Mapping[str, str], path: str | Path) -> None:
    """Raise UserError unless the checkpoint ``state`` was trained with these ``data``, wherever they were then.

    What an earlier version did not note counts as the same; where it noted nothing of the data, they must be in place.
    """
    noted = [name for name in data if name in state]
    then, now = ([part["data"].get(name) for name in DATA_PLACES] for part in (state["config"], config))
    same = all(state[name] == data[name] for name in noted) if noted else then == now
    if not same:
        places = ", ".join(place for place in now if place)
        raise UserError(
            f"{path}: was trained with other data than {places} hold now; put those back, or train into another folder"
        )


def fixed_settings(config: dict[str, Any]) -> dict[str, Any]:
    """The settings, as one level, that must stay the same in a run that is resumed."""
    settings = flatten(config)
    may_change = {*MAY_CHANGE, *(f"data.{name}" for name in DATA_PLACES)}
    if settings["optimizer.schedule"] == "cosine":  # which ends at the last epoch
        may_change.remove("train.epochs")
    return {name: value for name, value in settings.items() if name not in may_change}


def fingerprint(model: IterativeSeparator, config: dict[str, Any], data: Mapping[str, str]) -> int:
    """A number of 48 bits, which a float holds whole, for weights, data and all settings that must not change."""
    digest = hashlib.sha256(json.dumps([fixed_settings(config), dict(data)], sort_keys=True).encode())
    for value in model.state_dict().values():
        digest.update(value.cpu().numpy().tobytes())
    return int.from_bytes(digest.digest()[:6], "big")


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A configuration as one level: {"train": {"seed": 0}} to {"train.seed": 0}."""
    flat = {}
    for name, value in tree.items():
        flat.update(flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value})
    return flat
