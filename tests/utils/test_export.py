"""utils/export.py: the way from its options to the exporter, which tests/share/test_export.py tries."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import itersep.share.export
from itersep.models.iterative import IterativeSeparator
from itersep.share.hub import PretrainedModel
from itersep.train.checkpoint import save_checkpoint
from itersep.train.config import Experiment
from tests.runs import Ended


@pytest.mark.parametrize("kind", ["exp", "exp/best.pt", "published"])
def test_any_kind_of_model_is_exported_with_so_many_iterations(
    kind: str,
    experiment: Callable[..., Experiment],
    program: Callable[..., Ended],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built, calls = experiment(), []
    save_checkpoint(tmp_path / "exp/best.pt", {"config": built.config, "model": built.model.state_dict()})
    PretrainedModel(built.model, built.config, "").save_pretrained(tmp_path / "published")

    def export(model: IterativeSeparator, path: str, rate: int, iterations: int) -> dict[int, float]:
        assert all(torch.equal(value, built.model.state_dict()[name]) for name, value in model.state_dict().items())
        calls.append((path, rate, iterations))
        return {1: 3e-8, 8000: 2e-7}

    monkeypatch.setattr(itersep.share.export, "export_onnx", export)
    for options in ((), ("--iterations", 5)):
        ended = program("export.py", tmp_path / kind, "--out", "model.onnx", *options)
        assert ended.status == 0 and "8000 samples  2.0e-07" in ended.out, ended.err
    assert calls == [("model.onnx", 8000, 2), ("model.onnx", 8000, 5)]


@pytest.mark.parametrize(
    ("options", "message"),
    [(("nowhere",), "nowhere: no such checkpoint"), (("nowhere", "--iterations", -1), "iterations"), ((), "model")],
)
def test_mistakes_are_named_in_one_line(
    program: Callable[..., Ended], tmp_path: Path, options: tuple, message: str
) -> None:
    ended = program("export.py", *options, "--out", tmp_path / "model.onnx")
    assert ended.status == 2 and message in ended.err and ended.err.count("\n") == 1
