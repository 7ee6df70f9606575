"""Checkpoints: written aside and renamed, read without running any code they may hold."""

import hashlib
import io
import json
import logging
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from itersep.errors import UserError
from itersep.files import write_aside
from itersep.models.blocks import BLOCKS
from itersep.models.iterative import IterativeSeparator
from itersep.train.config import rebuild_experiment
from itersep.train.versions import update_config, update_weights

log = logging.getLogger(__name__)

# What may differ between a checkpoint and the run that goes on from it: where and for how long, not what is trained.
# Device, threads, parts of a batch and number of processes change it by rounding alone, and a run may have to move to a
# machine with other memory and cores.
MAY_CHANGE = (
    *("train.epochs", "train.patience", "train.save_every_s"),
    *("train.device", "train.threads", "train.workers", "train.accumulate"),
    *(f"model.{block}.recompute" for block in BLOCKS),
)


def save_checkpoint(path: str | Path, state: dict[str, Any], keep: Path | None = None) -> None:
    """Write a checkpoint of tensors and plain values; the one before it, if any, is renamed to ``keep``."""
    buffer = io.BytesIO()  # torch turns a full disk into an error without a name; plain writing does not
    torch.save(state, buffer)
    with write_aside(path, keep=keep) as aside:
        aside.write_bytes(buffer.getbuffer())


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint to CPU memory. Raises UserError naming the file if it is missing, cut short or foreign."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as those of pickles in other protocols
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint; train first, or name another") from None
    except PermissionError:
        raise
    except Exception:  # torch raises whatever its parts do: on a text, an IndexError
        raise UserError(f"{path}: is no whole checkpoint of this project; remove it or name another") from None
    if not (isinstance(state, dict) and isinstance(state.get("config"), dict) and isinstance(state.get("model"), dict)):
        raise UserError(f"{path}: is no checkpoint of this project; name another")
    return _update(state)


def _update(state: dict[str, Any]) -> dict[str, Any]:
    """A state that an earlier version stored, as this one has it."""
    state |= {"config": update_config(state["config"]), "model": update_weights(state["model"])}
    if isinstance(state.get("best"), list):
        state["best"] = [best | {"model": update_weights(best["model"])} for best in state["best"]]
    return state


def last_checkpoint(out: Path) -> tuple[Path, dict[str, Any]] | None:
    """last.pt of an experiment folder, or previous.pt where it is missing or cut short; None if there is neither.

    It is missing if the run was killed between the two renames of `save_checkpoint`. Raises UserError naming a file
    that is not whole and has none before it.
    """
    last, previous = out / "last.pt", out / "previous.pt"
    if last.exists():
        try:
            return last, load_checkpoint(last)
        except UserError:
            if not previous.exists():
                raise
            log.warning("%s: is cut short or damaged; going on from %s, the checkpoint before it", last, previous)
    return (previous, load_checkpoint(previous)) if previous.exists() else None


def clear_checkpoints(out: Path, origin: Path | None) -> None:
    """Before a run goes on from ``origin``: make that last.pt, and remove what killed runs left half-written."""
    if origin is not None and origin.name == "previous.pt":
        os.replace(
            origin, out / "last.pt"
        )  # else the next save would put a damaged last.pt in the place of a whole one
    for aside in out.glob(".*.pt"):
        aside.unlink()


def load_model(path: str | Path) -> tuple[IterativeSeparator, dict[str, Any]]:
    """The model of a checkpoint file, or of an experiment folder's best.pt, in evaluation mode; and its configuration.

    Raises UserError naming the file if it is missing, not a checkpoint, or does not fit this version of the code.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "best.pt"
    state = load_checkpoint(path)
    model = rebuild_experiment(state["config"], path).model
    load_weights(model, state["model"], path)
    return model.eval(), state["config"]


def load_weights(model: IterativeSeparator, weights: dict[str, torch.Tensor], origin: object) -> None:
    """Load weights; UserError names ``origin`` where they are another model's."""
    try:
        model.load_state_dict(weights)
    except (RuntimeError, AttributeError, TypeError):  # the latter two of what is no tensor, or has no name
        raise UserError(f"{origin}: its weights are not of the model that its configuration describes") from None


def check_same_experiment(stored: dict[str, Any], current: dict[str, Any], path: str | Path) -> None:
    """Raise UserError naming the first setting in which a checkpoint to go on from differs from the configuration.

    A setting that the checkpoint's version did not know counts as having had its default.
    """
    old, new = (fixed_settings(config) for config in (rebuild_experiment(stored, path).config, current))
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            raise UserError(
                f"{path}: was trained with {name} = {old.get(name)}, not {new.get(name)}; "
                "set it back, or train into another folder"
            )


def fixed_settings(config: dict[str, Any]) -> dict[str, Any]:
    """The settings, as one level, that must stay the same in a run that goes on."""
    settings = flatten(config)
    may_change = set(MAY_CHANGE)
    if settings["optimizer.schedule"] == "cosine":  # which ends at the last epoch
        may_change.remove("train.epochs")
    return {name: value for name, value in settings.items() if name not in may_change}


def fingerprint(model: IterativeSeparator, config: dict[str, Any]) -> int:
    """A number of 48 bits, which a float holds whole, for the weights and all settings that must not change."""
    digest = hashlib.sha256(json.dumps(fixed_settings(config), sort_keys=True).encode())
    for value in model.state_dict().values():
        digest.update(value.cpu().numpy().tobytes())
    return int.from_bytes(digest.digest()[:6], "big")


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A configuration as one level: {"train": {"seed": 0}} to {"train.seed": 0}."""
    flat = {}
    for name, value in tree.items():
        flat.update(flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value})
    return flat
