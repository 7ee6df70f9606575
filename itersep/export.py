"""A trained model as ONNX, for programs without torch: mix (1, T) to est (1, C, T), any length T."""

import copy
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from itersep.errors import UserError
from itersep.files import write_aside
from itersep.models.iterative import IterativeSeparator
from itersep.models.norm import NORM_EPS, GlobalNorm
from itersep.models.sound import SoundOnly

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
    network = _Unrolled(model, iterations)
    content = _to_onnx(network, sample_rate)
    window = model.filterbank.spec.window
    differences = compare(content, network, (1, window, 3 * window + 1, sample_rate - 1, 3 * sample_rate + 7))
    length, worst = max(differences.items(), key=lambda item: item[1])
    if not worst <= TOLERANCE:
        raise UserError(f"{path}: not written; at {length} samples, the export differs from the model by {worst:.1g}")
    with write_aside(path) as aside:
        aside.write_bytes(content)
    return differences


def compare(content: bytes, network: nn.Module, lengths: Iterable[int]) -> dict[int, float]:
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
                expected = network(mix)
            (est,) = session.run(None, {"mix": mix.numpy()})
            worst.append((torch.from_numpy(est) - expected).abs().max())
        differences[length] = torch.stack(worst).max().item()
    return differences


class _Unrolled(nn.Module):
    """So many iterations of a model on the sound of a recording, on the CPU, in evaluation mode."""

    def __init__(self, model: IterativeSeparator, iterations: int) -> None:
        super().__init__()
        self.model, self.iterations = SoundOnly(copy.deepcopy(model).cpu()), iterations
        self.eval()

    def forward(self, mix: Tensor) -> Tensor:
        return self.model(mix, self.iterations)


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


def _to_onnx(network: _Unrolled, sample_rate: int) -> bytes:
    _import("onnxscript")
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) in STAND_INS:
                setattr(module, name, STAND_INS[type(child)](child))
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            network,
            (torch.zeros(1, _example_length(network.model.network)),),
            input_names=["mix"],
            output_names=["est"],
            dynamic_shapes={"mix": {1: "T"}},
            dynamo=True,
            verbose=False,
        )
    program.model.metadata_props["sample_rate"] = str(sample_rate)
    return program.model_proto.SerializeToString()


def _example_length(model: IterativeSeparator) -> int:
    """A length at which no padding is none: what holds of its example, the exporter takes to hold always."""
    window, hop, half = model.filterbank.spec.window, model.filterbank.spec.hop, model.block.period
    frames = half * (window // hop + 2) + half // 2 + 1  # half a half chunk too many
    return frames * hop - window + 1 + hop // 2  # and about half a hop


def _import(name: str) -> object:
    try:
        return __import__(name)
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
