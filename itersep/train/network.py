"""The model part of a configuration: its settings, and the network that they describe.

It stands alone, so that what only uses a trained model need not load what trains one.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from itersep.models.blocks import BLOCKS
from itersep.models.iterative import IterativeSeparator
from itersep.system.cli import check_values, instantiate, known_settings, make_parser, one_line
from itersep.system.errors import UserError
from itersep.system.settings import check_settings
from itersep.train.versions import update_config, update_weights

TRAINING_GROUPS = ("objective", "data", "optimizer", "train")  # of a configuration, beside the model
MISFIT = "its configuration does not fit this version"
Built = TypeVar("Built")


def add_model_settings(parser: ArgumentParser) -> None:
    """Add the settings of the network to a parser: the group `model`, in it one for the sizes of each kind of block."""
    parser.add_class_arguments(IterativeSeparator, "model", sub_configs=True, fail_untyped=True)
    for name, spec in BLOCKS.items():
        parser.add_class_arguments(spec, f"model.{name}", sub_configs=True, fail_untyped=True)


def plain_settings(parser: ArgumentParser, parsed: Namespace) -> dict[str, Any]:
    """What was parsed as plain data, nulls and defaults included: from it, the same is parsed again.

    The sizes of blocks of other kinds than the model's are left out.
    """
    config = yaml.safe_load(parser.dump(parsed, skip_unset=False))
    for name in BLOCKS.keys() - {config["model"]["block"]}:
        del config["model"][name]
    return config


def parse_stored(parser: ArgumentParser, config: Any, origin: object) -> Namespace:
    """Parse a stored configuration, whoever stored it: nothing is imported, no other file is read.

    UserError names ``origin`` where the configuration does not fit this code, such as by an unknown setting.
    """
    misfit = f"{origin}: {MISFIT}"
    config = update_config(config) if isinstance(config, dict) else config
    check_settings(config, known_settings(parser), misfit)
    try:
        parsed = parser.parse_object(config)
        check_values(parser, parsed)
    except (ArgumentError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{misfit} ({one_line(error)})") from None
    return parsed


def build(parser: ArgumentParser, parsed: Namespace, seed: int) -> dict[str, Any]:
    """Build what the settings describe: name -> object; the initial weights follow from ``seed``.

    Raises UserError for values that a constructor refuses, and for a network that memory does not hold.
    """
    try:
        with torch.random.fork_rng(devices=[]):  # a program that loads a model keeps its own random state
            torch.manual_seed(seed)
            return instantiate(parser, parsed)
    except (RuntimeError, MemoryError):  # torch's, of an allocation
        raise UserError("model: no memory for a network of these sizes; make it smaller") from None


def rebuild(origin: object, action: Callable[[], Built]) -> Built:
    """The result of ``action``, which builds of a stored configuration; a UserError of it names ``origin``."""
    try:
        return action()
    except UserError as error:
        raise UserError(f"{origin}: {MISFIT} ({error})") from None


def rebuild_model(config: Any, origin: object) -> IterativeSeparator:
    """The network of a stored configuration, untrained, in evaluation mode. UserError is that of `parse_stored`."""
    parser = make_parser("")
    add_model_settings(parser)
    if isinstance(config, dict):  # of the other groups it is enough that they are there
        config = {name: part for name, part in update_config(config).items() if name not in TRAINING_GROUPS}
    parsed = parse_stored(parser, config, origin)
    return rebuild(origin, lambda: build(parser, parsed, seed=0)["model"]).eval()


def load_weights(model: IterativeSeparator, weights: Mapping[str, torch.Tensor], origin: object) -> None:
    """Load weights that this or an earlier version stored; UserError names ``origin`` where they do not fit."""
    try:
        model.load_state_dict(update_weights(weights))
    except (RuntimeError, AttributeError, TypeError):  # the latter two for values that are not tensors, or have no name
        raise UserError(f"{origin}: its weights are not of the model that its configuration describes") from None
