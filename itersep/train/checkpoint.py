"""Checkpoints: written aside and renamed, read without running any code they may hold."""

import io
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import torch

from itersep.models.iterative import IterativeSeparator
from itersep.system.errors import UserError
from itersep.system.files import write_aside
from itersep.train.network import load_weights, rebuild_model
from itersep.train.versions import update_config, update_weights

log = logging.getLogger(__name__)


def save_checkpoint(path: str | Path, state: dict[str, Any], keep: Path | None = None) -> None:
    """Write a checkpoint of tensors and plain values; the one before it, if any, is renamed to ``keep``."""
    buffer = io.BytesIO()  # torch turns a full disk into an error without a name; plain writing does not
    torch.save(state, buffer)
    with write_aside(path, keep=keep) as aside:
        aside.write_bytes(buffer.getvalue())


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
        raise UserError(f"{path}: corrupt, or not an itersep checkpoint; remove it or name another") from None
    if not (isinstance(state, dict) and isinstance(state.get("config"), dict) and isinstance(state.get("model"), dict)):
        raise UserError(f"{path}: is not an itersep checkpoint; name another")
    return _update(state)


def _update(state: dict[str, Any]) -> dict[str, Any]:
    """A state that an earlier version stored, as this one has it."""
    state["config"] = update_config(state["config"])
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
    model = rebuild_model(state["config"], path)
    load_weights(model, state["model"], path)
    return model, state["config"]
