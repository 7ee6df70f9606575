"""Trained models that travel: a folder, here or on the Hugging Face Hub, that holds all it takes to use one.

    model.safetensors   the weights
    README.md           the model card
    config.json         the experiment's configuration; written last, so that a folder without it is not whole

Weights are plain tensors and the configuration is checked against this code: nothing in a folder can run.
"""

import json
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelHubMixin, snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from itersep.models.iterative import IterativeSeparator
from itersep.system.errors import UserError
from itersep.system.files import read_json, read_text, write_aside, write_text
from itersep.train.network import load_weights, rebuild_model
from itersep.train.versions import update_config

WEIGHTS, CARD, CONFIG = "model.safetensors", "README.md", "config.json"
NOT_FETCHED: dict[type[Exception], str] = {  # the first that fits
    HFValidationError: "and it is not a valid Hub id (user/name)",
    RevisionNotFoundError: "and the model on the Hub has no such revision",
    RepositoryNotFoundError: "and the Hub has no such model, or none that you may read",
    LocalEntryNotFoundError: "and it cannot be fetched from the Hub",
    HfHubHTTPError: "and the Hub does not hand it out",
}

FETCH_ERRORS: tuple[type[Exception], ...] = tuple(NOT_FETCHED)


class PretrainedModel(ModelHubMixin):
    """A trained model with what it was trained by and what there is to know of it.

    `save_pretrained(folder)` and `push_to_hub("user/name")` are the mixin's; saving replaces what a folder had.

    Args:
        model: the network
        config: the configuration of its experiment, as its checkpoint has it
        card: the model card, markdown
    """

    def __init__(self, model: IterativeSeparator, config: dict[str, Any], card: str) -> None:
        self.model, self.config, self.card = model, config, card

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> "PretrainedModel":
        """Read a folder, or fetch one from the Hub first; the network is in evaluation mode.

        Args:
            pretrained_model_name_or_path: a folder, or a model's name on the Hub (user/name)
            options: of huggingface_hub's snapshot_download, such as revision, token, cache_dir, local_files_only

        Raises UserError naming the folder or file if it is missing, broken, or does not fit this version of the code.
        """
        folder = _find_folder(pretrained_model_name_or_path, **options)
        again = "fetch or publish the model again"
        config = update_config(read_json(folder / CONFIG, "name a folder that utils/publish.py wrote", again))
        model = rebuild_model(config, folder / CONFIG)
        load_weights(model, _read_weights(folder / WEIGHTS), folder / WEIGHTS)
        card = folder / CARD
        return cls(model, config, read_text(card, again) if card.exists() else "")

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write all three files (the mixin has removed the old config.json, and keeps those that it finds)."""
        weights = {name: value.contiguous() for name, value in self.model.state_dict().items()}
        with write_aside(save_directory / WEIGHTS) as aside:
            aside.write_bytes(save(weights, metadata={"format": "pt"}))
        write_text(save_directory / CARD, self.card)
        write_text(save_directory / CONFIG, json.dumps(self.config, indent=2) + "\n")


def load_pretrained(origin: str | Path, **options: Any) -> tuple[IterativeSeparator, dict[str, Any]]:
    """The network of a published folder or of a model on the Hub, in evaluation mode; and its configuration.

    Options and errors are those of `PretrainedModel.from_pretrained`.
    """
    pretrained = PretrainedModel.from_pretrained(origin, **options)
    return pretrained.model, pretrained.config


def is_pretrained(path: str | Path) -> bool:
    """Whether ``path`` is a folder that `load_pretrained` reads."""
    return (Path(path) / CONFIG).is_file()


def _find_folder(origin: str | Path, **options: Any) -> Path:
    if Path(origin).is_dir():
        return Path(origin)
    try:
        return Path(snapshot_download(str(origin), allow_patterns=[WEIGHTS, CARD, CONFIG], **options))
    except FETCH_ERRORS as error:
        reason = next(text for kind, text in NOT_FETCHED.items() if isinstance(error, kind))
        raise UserError(f"{origin}: there is no such folder, {reason}") from None


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; fetch or publish the model again") from None
    except SafetensorError:
        raise UserError(f"{path}: is not a whole safetensors file; fetch or publish the model again") from None
