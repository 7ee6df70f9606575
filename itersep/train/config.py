"""The configuration of an experiment: yaml checked against the constructors of what it configures."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from itersep.cli import check_values, instantiate, known_settings, make_parser, one_line
from itersep.data.dataset import DataSpec
from itersep.errors import UserError
from itersep.losses.objective import Objective
from itersep.models.blocks import BLOCKS
from itersep.models.filterbank import FilterbankSpec
from itersep.models.iterative import IterativeSeparator
from itersep.settings import check_settings
from itersep.train.versions import update_config

MOST_THREADS = 1024
MISFIT = "its configuration does not fit this version"


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


PARTS = {
    "model": IterativeSeparator,
    "objective": Objective,
    "data": DataSpec,
    "optimizer": OptimizerSpec,
    "train": TrainSpec,
}


def config_parser() -> ArgumentParser:
    """Parser of experiment yaml files, laid over each other in order, and of overrides on the command line."""
    parser = make_parser("Train an iterative separator.")
    parser.add_argument("--config", action="config", help="yaml file; may be given again, later ones override")
    for name, part in PARTS.items():
        parser.add_class_arguments(part, name, sub_configs=True, fail_untyped=True)
    for name, spec in BLOCKS.items():
        parser.add_class_arguments(spec, f"model.{name}", sub_configs=True, fail_untyped=True)
    return parser


def build_experiment(parser: ArgumentParser, parsed: Namespace) -> Experiment:
    """Build all parts of a training; the initial weights follow from train.seed.

    Raises UserError for values that cannot be, and for ones that train something else than they say.
    """
    experiment = _build_parts(parser, parsed)
    _check_sense(experiment)
    return experiment


def _build_parts(parser: ArgumentParser, parsed: Namespace) -> Experiment:
    try:
        with torch.random.fork_rng(devices=[]):  # a program that loads a model keeps its own random state
            torch.manual_seed(parsed.train.seed)
            built = instantiate(parser, parsed)
    except (RuntimeError, MemoryError):  # torch's, of an allocation
        raise UserError("model: no memory for a network of these sizes; make it smaller") from None
    experiment = Experiment(plain_config(parser, parsed), **{name: built[name] for name in PARTS})
    if experiment.model.sources != experiment.data.simulation.sources:
        raise UserError(
            f"model.sources is {experiment.model.sources} but data.simulation.sources is "
            f"{experiment.data.simulation.sources}; make them equal"
        )
    return experiment


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
    """What was parsed as plain data, nulls and defaults included: from it, the same is parsed again.

    The sizes of blocks of other kinds than the model's are left out.
    """
    config = yaml.safe_load(parser.dump(parsed, skip_unset=False))
    for name in BLOCKS.keys() - {config["model"]["block"]}:
        del config["model"][name]
    return {name: config[name] for name in PARTS}


def complete_config(config: Any, origin: object) -> dict[str, Any]:
    """A stored configuration, of this version or an earlier one, with the defaults of settings that it lacks.

    UserError names ``origin`` where the configuration does not fit this code, such as by a setting that is unknown.
    """
    return plain_config(*_parse_stored(config, origin))


def rebuild_experiment(config: Any, origin: object) -> Experiment:
    """Build the experiment of a stored configuration, whoever stored it: nothing is imported, no other file is read.

    UserError is that of `complete_config`.
    """
    stored = _parse_stored(config, origin)
    try:
        return _build_parts(*stored)
    except UserError as error:
        raise UserError(f"{origin}: {MISFIT} ({error})") from None


def _parse_stored(config: Any, origin: object) -> tuple[ArgumentParser, Namespace]:
    parser, misfit = config_parser(), f"{origin}: {MISFIT}"
    config = update_config(config) if isinstance(config, dict) else config
    check_settings(config, known_settings(parser), misfit)
    try:
        parsed = parser.parse_object(config)
        check_values(parser, parsed)
    except (ArgumentError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{misfit} ({one_line(error)})") from None
    return parser, parsed
