"""What a network costs: parameters and multiply-accumulates, counted on tensors that have shapes but no values."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from itersep.models.iterative import IterativeSeparator, make_model


def count_parameters(model: Mapping[str, Any]) -> int:
    """Trained numbers of the network that the `model` part of a configuration describes."""
    with torch.device("meta"):
        network = make_model(model)
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(model: Mapping[str, Any], length: int, iterations: int) -> int:
    """Multiply-accumulates of separating a mixture of ``length`` samples ``iterations`` times.

    Those of convolutions, matrix products and LSTMs, as torch's counter of operations sees them, the zeros around
    chunks included; sums, norms and activation functions are not counted, nor the STFT's own saving by an FFT.
    Raises NotImplementedError that names a module with weights of which the counter sees nothing.
    """
    text = json.dumps(model)
    first, two = (_count(text, length, n) for n in (1, min(iterations, 2)))
    return first + (iterations - 1) * (two - first)  # all after the first do the same


@lru_cache(maxsize=256)
def _count(model: str, length: int, iterations: int) -> int:
    with FakeTensorMode(), torch.no_grad():
        network = make_model(json.loads(model)).eval()
        with _noting_calls(network) as called, FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
            network(torch.zeros(1, length), iterations)
    counts = counter.get_flop_counts()
    for name, module in called.items():
        if not counts.get(f"{type(network).__name__}.{name}"):
            raise NotImplementedError(
                f"the operations of {name} ({type(module).__name__}) are not counted; add their formula"
            )
    return counter.get_total_flops() // 2


@contextmanager
def _noting_calls(network: IterativeSeparator) -> Iterator[dict[str, nn.Module]]:
    """Yields a dict that fills with the modules that are called and have matrices of their own, by name."""
    called: dict[str, nn.Module] = {}
    with ExitStack() as stack:
        for name, module in network.named_modules():
            if any(parameter.ndim > 1 for parameter in module.parameters(recurse=False)):
                hook = module.register_forward_hook(lambda one, *_, name=name: called.update({name: one}))
                stack.callback(hook.remove)
        yield called


def _lstm_flops(inputs: torch.Size, weights: torch.Size, recurrent: torch.Size, *rest: Any, **options: Any) -> int:
    """One direction of an LSTM layer, (Q, B, N) by (4H, N) and (4H, H): oneDNN's whole layer is one operation."""
    steps, batch, _ = inputs
    return 2 * steps * batch * (weights.numel() + recurrent.numel())


FORMULAS = {torch.ops.aten.mkldnn_rnn_layer: _lstm_flops}
