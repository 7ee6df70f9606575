"""A trained model as ONNX, for programs without torch: mix (1, T) to est (1, C, T), any length T."""

import copy
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from itersep.models.iterative import IterativeSeparator
from itersep.models.norm import NORM_EPS, GlobalNorm
from itersep.models.sound import Cut, SoundOnly
from itersep.system.errors import UserError
from itersep.system.files import write_aside

LEAST_ONNXRUNTIME = "1.18"  # that reads operator set 20 and IR version 10
TOLERANCE = 1e-4  # largest difference between samples of onnxruntime and torch, on signals of level 1


def export_onnx(model: IterativeSeparator, path: str | Path, sample_rate: int, iterations: int) -> dict[int, float]:
    """Write a model as ONNX, once it does what the original does; returns the largest difference by length.

    Args:
        model: the network
        path: file to write
        sample_rate: of the signals, noted in the file and a length to check at
        iterations: separations, all unrolled in the file

    Raises UserError where packages are missing, or the export differs from the original.
    """
    network = SoundOnly(copy.deepcopy(model).cpu()).eval()
    content = _to_onnx(network, sample_rate, iterations)
    window = model.filterbank.spec.window
    differences = compare(
        content,
        partial(network, iterations=iterations),
        (1, window, 3 * window + 1, sample_rate - 1, 3 * sample_rate + 7),
    )
    length, worst = max(differences.items(), key=lambda item: item[1])
    if not worst <= TOLERANCE:
        raise UserError(f"{path}: not written; at {length} samples, the export differs from the model by {worst:.1g}")
    with write_aside(path) as aside:
        aside.write_bytes(content)
    return differences


def compare(content: bytes, separate: Callable[[Tensor], Tensor], lengths: Iterable[int]) -> dict[int, float]:
    """Largest difference between onnxruntime and torch at each length: length -> difference; NaN if there is a NaN.

    They are given noise with a pause in its second third, and silence.
    """
    onnxruntime = _import("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    generator, differences = torch.Generator().manual_seed(0), {}
    for length in lengths:
        noise = torch.rand(1, length, generator=generator) * 2 - 1
        noise[:, length // 3 : length * 2 // 3] = 0
        worst = []
        for mix in (noise, torch.zeros(1, length)):
            with torch.no_grad():
                expected = separate(mix)
            (est,) = session.run(None, {"mix": mix.numpy()})
            worst.append((torch.from_numpy(est) - expected).abs().max())
        differences[length] = torch.stack(worst).max().item()
    return differences


class _Part(nn.Module):
    """A function of a module's, to be exported on its own."""

    def __init__(self, module: nn.Module, function: Callable[..., Tensor | tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.module, self.function = module, function

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.function(*inputs)


class _OnnxLSTM(nn.Module):
    """Stands for a bidirectional nn.LSTM while exporting, and becomes one node of ONNX.

    torch would take it apart into its steps, as many as the example has frames.
    """

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.hidden = lstm.hidden_size
        inputs, recurrent, bias, more_bias = (
            torch.stack([_reorder_gates(getattr(lstm, f"{name}_l0{way}").detach()) for way in ("", "_reverse")])
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        self.register_buffer("inputs", inputs)  # (2, 4H, N)
        self.register_buffer("recurrent", recurrent)  # (2, 4H, H)
        self.register_buffer("bias", torch.cat([bias, more_bias], dim=1))  # (2, 8H)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """(B, Q, N) -> (B, Q, 2H), and no state."""
        states = torch.onnx.ops.symbolic(
            "LSTM",
            (x.transpose(0, 1), self.inputs, self.recurrent, self.bias),
            {"hidden_size": self.hidden, "direction": "bidirectional"},
            dtype=x.dtype,
            shape=(x.shape[1], 2, x.shape[0], self.hidden),
        )
        return states.permute(2, 0, 1, 3).flatten(2), None


class _OnnxNorm(nn.Module):
    """Stands for a GlobalNorm while exporting.

    onnxruntime's own node for it adds everything up in one float: over some seconds that costs three digits. Means of
    means keep them. The exporter takes a sum with 1e-8 for one with nothing, and silence would be divided by zero: here
    a quotient has 1 added to it.
    """

    def __init__(self, norm: GlobalNorm) -> None:
        super().__init__()
        self.gain, self.offset = norm.gain, norm.offset

    def forward(self, x: Tensor) -> Tensor:
        """(B, ..., N) -> (B, ..., N)."""
        x = x - self._mean(x)
        power = (self._mean(x.square()) / NORM_EPS + 1) * NORM_EPS
        return x / power.sqrt() * self.gain + self.offset

    def _mean(self, x: Tensor) -> Tensor:
        for axis in range(x.ndim - 1, 0, -1):
            x = x.mean(axis, keepdim=True)
        return x


def _reorder_gates(weights: Tensor) -> Tensor:
    """From torch's order of gates (input, forget, cell, output) to that of ONNX (input, output, forget, cell)."""
    i, f, c, o = weights.chunk(4)
    return torch.cat([i, o, f, c])


STAND_INS = {nn.LSTM: _OnnxLSTM, GlobalNorm: _OnnxNorm}


def _to_onnx(model: SoundOnly, sample_rate: int, iterations: int) -> bytes:
    """The graph: three that are exported apart and joined.

    How much sound there is depends on the samples, and the exporter refuses what a network may do with a length that it
    cannot know, such as choosing among ways to convolve. A part of its own has a length like any other.
    """
    onnx = _import("onnx")
    _import("onnxscript")
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) in STAND_INS:
                setattr(module, name, STAND_INS[type(child)](child))
    length = _example_length(model.network)
    with _quiet(), torch.no_grad():
        cut = model.cut(torch.zeros(1, length))
        separate = _Part(model.network, partial(model.network, iterations=iterations))
        est = torch.zeros_like(cut.shares)
        names = Cut._fields
        graphs = [
            _export(_Part(model.ear, model.cut), {"mix": torch.zeros(1, length)}, names),
            _export(separate, {"sound": cut.sound}, ["voices"]),
            _export(_Part(model, model.fill), {"voices": est} | dict(zip(names[1:], cut[1:], strict=True)), ["est"]),
        ]
    whole = graphs[0]
    for k, graph in enumerate(graphs[1:], start=1):
        _name_lengths(graph, f"{k}_")
        graph = onnx.compose.add_prefix(graph, f"{k}_", rename_inputs=False, rename_outputs=False)
        taken = {value.name for value in graph.graph.input}
        left = [value.name for value in (*whole.graph.output, *graph.graph.output) if value.name not in taken]
        whole = onnx.compose.merge_models(whole, graph, io_map=[(name, name) for name in taken], outputs=left)
    del whole.opset_import[1:]  # the parts' own, all the same
    onnx.helper.set_model_props(whole, {"sample_rate": str(sample_rate)})
    return whole.SerializeToString()


def _export(part: nn.Module, inputs: dict[str, Tensor], outputs: Sequence[str]) -> Any:
    """The graph of a part, in which the last axis of each input may have any length."""
    program = torch.onnx.export(
        part,
        tuple(inputs.values()),
        input_names=list(inputs),
        output_names=list(outputs),
        dynamic_shapes=(tuple({x.ndim - 1: torch.export.Dim.DYNAMIC} if x.ndim else None for x in inputs.values()),),
        dynamo=True,
        verbose=False,
    )
    return program.model_proto


def _name_lengths(graph: Any, prefix: str) -> None:
    """Name a graph's symbolic lengths apart from those of others: where they are joined, a name is one length."""
    for value in (*graph.graph.input, *graph.graph.output, *graph.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = prefix + dim.dim_param


def _example_length(model: IterativeSeparator) -> int:
    """A length at which no padding is none: what holds of its example, the exporter takes to hold always."""
    window, hop, period = model.filterbank.spec.window, model.filterbank.spec.hop, model.block.period
    frames = period * (window // hop + 2) + period // 2 + 1  # half a period too many
    return frames * hop - window + 1 + hop // 2  # and about half a hop


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise UserError(f"export needs the package {name}: pip install '.[export]' in itersep's folder") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on operators of other packages and on its own future."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
