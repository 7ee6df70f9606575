"""ONNX export: onnxruntime separates the sound of a recording of any length as torch does, in both domains."""

import sys
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import nn

from itersep.models.blocks.dprnn import DPRNNSpec
from itersep.models.filterbank import FilterbankSpec
from itersep.models.iterative import IterativeSeparator
from itersep.models.separator import SeparatorSpec
from itersep.models.sound import SoundOnly
from itersep.share import export
from itersep.share.export import export_onnx
from itersep.system.errors import UserError

RATE = 800  # of which three seconds are checked by the exporter itself


def small_model(kind: str, **sizes: Any) -> IterativeSeparator:
    """A network whose filterbank's and chunks' sizes divide no length that is tried."""
    banks = {
        "stft": FilterbankSpec("stft", 17, 32, 16),
        "complex": FilterbankSpec("stft", 17, 32, 16, "complex"),
        "learned": FilterbankSpec("learned", 12, 10, 4),
    }
    model = IterativeSeparator(banks[kind], SeparatorSpec(siso_blocks=0), **{"dprnn": DPRNNSpec(6, 5, 6)} | sizes)
    for parameter in model.parameters():  # norms and biases that do something
        nn.init.normal_(parameter, std=0.5)
    return model.eval()


def run_onnx(path: Path, mix: torch.Tensor) -> torch.Tensor:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["est"], {"mix": mix.numpy()})[0])


@pytest.mark.parametrize(
    ("kind", "sizes", "iterations"),
    [
        ("stft", {"sources": 3, "iterations": 2, "share_simo": False}, 2),
        ("complex", {"mask": "complex", "feedback": "both", "dprnn": DPRNNSpec(6, 5, 6, overlap=False)}, 2),
        ("learned", {}, 1),
    ],
)
def test_onnx_does_what_torch_does_at_any_length(kind: str, sizes: dict, iterations: int, tmp_path: Path) -> None:
    model = small_model(kind, **sizes)
    differences = export_onnx(model, tmp_path / "model.onnx", RATE, iterations)
    assert len(differences) == 5 and max(differences.values()) <= 1e-4
    for length in (1, 2, 47, 48, 49, 1000, 4321):
        mix = torch.randn(1, length)
        with torch.no_grad():
            expected = SoundOnly(model)(mix, iterations)
        torch.testing.assert_close(run_onnx(tmp_path / "model.onnx", mix), expected, atol=1e-4, rtol=0)


def test_the_stand_ins_do_what_they_stand_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The norm at a length where one float adds up badly; the LSTM's gates by the equations of ONNX's operator."""
    norm = export.GlobalNorm(4)
    nn.init.normal_(norm.gain), nn.init.normal_(norm.offset)
    x = torch.randn(2, 50000, 3, 4) + 30
    with torch.no_grad():
        exact = norm.double()(x.double())
        torch.testing.assert_close(export._OnnxNorm(norm.float())(x).double(), exact, atol=3e-5, rtol=0)

    def onnx_lstm(name: str, inputs: tuple, attributes: dict, dtype: torch.dtype, shape: tuple) -> torch.Tensor:
        x, w, r, b = inputs
        states = torch.zeros(shape)
        for way, steps in enumerate((range(len(x)), reversed(range(len(x))))):
            h, c = torch.zeros(2, x.shape[1], attributes["hidden_size"])
            for t in steps:
                gates = x[t] @ w[way].T + h @ r[way].T + b[way].view(2, -1).sum(0)
                i, o, f, g = gates.chunk(4, dim=1)  # the order in ONNX's definition: i, o, f, c
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
                states[t, way] = h
        return states

    monkeypatch.setattr(torch.onnx.ops, "symbolic", onnx_lstm)
    lstm = nn.LSTM(3, 4, bidirectional=True, batch_first=True)
    x = torch.randn(2, 7, 3)
    with torch.no_grad():
        torch.testing.assert_close(export._OnnxLSTM(lstm)(x)[0], lstm(x)[0], atol=1e-6, rtol=0)


def test_an_export_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, other = small_model("learned"), small_model("learned")
    monkeypatch.setattr(export, "_to_onnx", lambda network, rate, iterations: b"")

    class Session:
        def run(self, outputs: None, inputs: dict) -> list:
            with torch.no_grad():
                return [SoundOnly(other)(torch.from_numpy(inputs["mix"])).numpy()]

    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *args, **options: Session())
    with pytest.raises(UserError, match="model.onnx: not written; at .* samples, the export differs"):
        export_onnx(model, tmp_path / "model.onnx", RATE, 1)
    other.load_state_dict(model.state_dict())
    export_onnx(model, tmp_path / "same.onnx", RATE, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["same.onnx"]


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"onnxscript: pip install '\.\[export\]' in itersep's folder"):
        export_onnx(small_model("learned"), tmp_path / "model.onnx", RATE, 1)
