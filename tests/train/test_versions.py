"""What earlier versions stored is read by this one, and by one with more settings."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml

from itersep.models.blocks import BLOCKS
from itersep.models.blocks.dprnn import DPRNNSpec
from itersep.separate.waves import packaged_model
from itersep.share.hub import load_pretrained
from itersep.system.errors import UserError
from itersep.train.config import complete_config
from itersep.train.versions import update_config, update_weights

RECORDS = sorted((Path(__file__).resolve().parents[2] / "egs/librispeech_nonspeech/records").glob("*/config.yaml"))


@dataclass(frozen=True)
class WiderSpec(DPRNNSpec):
    """A DPRNN of a later version.

    Args:
        gate: a setting that no stored configuration has
    """

    gate: float = 0.5


def test_stored_configurations_get_the_defaults_of_new_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BLOCKS, "dprnn", WiderSpec)
    assert RECORDS
    for path in RECORDS:
        stored = yaml.safe_load(path.read_text())
        config = complete_config(stored, path)
        sizes = config["model"]["dprnn"]
        old = {name: stored["model"]["separator"].get(name, sizes[name]) for name in ("features", "hidden", "chunk")}
        assert sizes == old | {"overlap": True, "recompute": False, "gate": 0.5}
        assert config["model"]["filterbank"]["features"] == "magnitude"
        assert (config["objective"]["order"], config["train"]["draw_iterations"]) == ("own", False)
    assert load_pretrained(packaged_model())[0].block.gate == 0.5


def test_unknown_settings_of_a_stored_configuration_are_refused() -> None:
    stored = yaml.safe_load(RECORDS[0].read_text())
    stored["model"]["separator"]["depth"] = 3
    with pytest.raises(UserError, match="config.yaml: .*'model.separator.depth'"):
        complete_config(stored, "config.yaml")


def test_moved_settings_do_not_overwrite_those_in_place() -> None:
    both = {"model": {"separator": {"chunk": 8, "siso_blocks": 1}, "dprnn": {"chunk": 4}}}
    assert update_config(both) == both
    assert update_config({"model": {"separator": {"chunk": 8}}})["model"] == {"separator": {}, "dprnn": {"chunk": 8}}
    for odd in ({"model": 3}, {"model": {"separator": [1]}}, {"model": {"separator": {"chunk": 8}, "dprnn": 3}}):
        assert update_config(odd) == odd


def test_moved_weights_keep_their_order() -> None:
    old = ("simo.0.norm.gain", "simo.10.bottleneck.bias", "simo.0.blocks.0.intra.norm.gain", "mask.linear.weight")
    new = ["simo.0.embedding.norm.gain", "simo.10.embedding.bottleneck.bias", old[2], "head.linear.weight"]
    weights = {name: torch.tensor(float(k)) for k, name in enumerate(old)}
    assert list(update_weights(weights)) == new
    assert list(update_weights(weights).values()) == list(weights.values())
