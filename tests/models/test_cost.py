"""What a network costs, against torch's own counter."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from itersep.models.cost import count_macs, count_parameters
from itersep.models.iterative import make_model

MODELS = [
    {"filterbank": {}, "separator": {}, "dprnn": {"hidden": 8, "features": 6, "chunk": 10}},
    {"filterbank": {"kind": "stft", "filters": 33, "window": 64, "hop": 32}, "separator": {"siso_blocks": 0}},
    {"filterbank": {"hop": 8}, "separator": {"simo_blocks": 2, "siso_blocks": 3}, "dprnn": {"chunk": 4}, "sources": 3},
    {"filterbank": {}, "separator": {}, "share_simo": False, "iterations": 3, "detach": False},
    {
        "filterbank": {"kind": "stft", "filters": 33, "window": 64, "hop": 32, "features": "complex"},
        **{"separator": {}, "dprnn": {"chunk": 4, "overlap": False}, "mask": "complex", "feedback": "both"},
    },
]


@pytest.mark.filterwarnings("ignore:TF32")
@pytest.mark.parametrize("length", [1, 333, 640])
@pytest.mark.parametrize("model", MODELS)
def test_the_count_is_torchs(model: dict, length: int) -> None:
    """With oneDNN torch runs an LSTM as one operation that its counter does not know; without, as many it does."""
    network = make_model(model)
    for iterations in (1, 3):
        counter = FlopCounterMode(display=False)
        with torch.backends.mkldnn.flags(enabled=False), torch.no_grad(), counter:
            network(torch.zeros(1, length), iterations)
        assert 2 * count_macs(model, length, iterations) == counter.get_total_flops()


@pytest.mark.parametrize("model", MODELS)
def test_parameters_are_those_of_the_network(model: dict) -> None:
    assert count_parameters(model) == sum(parameter.numel() for parameter in make_model(model).parameters())
