"""docs/extending.md: the code on the page goes through training, separation, scoring, report and export."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import onnxruntime
import pytest
import torch
import yaml
from torch import nn

from itersep.models.blocks import BLOCKS
from itersep.models.cost import count_macs
from itersep.models.masks import MASKS
from itersep.models.sound import SoundOnly
from itersep.score.registry import METRICS
from itersep.separate.waves import load_network

PAGE = Path(__file__).resolve().parent.parent / "docs/extending.md"
MODULES = ("itersep.models.blocks.conv", "registration", "bounded", "snr")  # of the page's blocks of python, in turn


@pytest.fixture
def extended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's block, mask and metric, registered as it says."""
    for registry, name in ((BLOCKS, "conv"), (MASKS, "bounded"), (METRICS, "snr_db")):
        monkeypatch.setitem(registry, name, None)  # so that it is taken away again
        del registry[name]
    sources = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for name, source in zip(MODULES, sources, strict=True):
        module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        module.__dict__["BLOCKS"] = BLOCKS  # the line stands in the file that has it
        exec(compile(source, f"{PAGE}:{name}", "exec"), module.__dict__)


def test_block_mask_and_metric_of_the_page_go_all_the_way(
    extended: None, program: Callable, config: Path, mixture_dir: Path, tmp_path: Path
) -> None:
    network = {"block": "conv", "mask": "bounded", "conv": {"features": 8, "reach": 1}}
    network["separator"] = {"simo_blocks": 2, "siso_blocks": 1}
    (tmp_path / "more.yaml").write_text(yaml.safe_dump({"model": network, "train": {"epochs": 1}}))
    exp = tmp_path / "exp"
    for name, *options in (
        ("train.py", "--config", config, "--config", tmp_path / "more.yaml", "--out", exp),
        ("separate.py", "--model", exp, "--data", mixture_dir, "--out", exp / "set", "--iterations", 2),
        ("score.py", "--data", mixture_dir, "--separated", exp / "set"),
        ("report.py", exp, "--out", tmp_path / "RESULTS.md"),
        ("export.py", exp, "--out", tmp_path / "model.onnx"),
    ):
        ended = program(name, *options)
        assert ended.status == 0, ended.err
    settings = yaml.safe_load((exp / "config.yaml").read_text())["model"]
    assert settings["conv"] == {"features": 8, "reach": 1} and "dprnn" not in settings
    summary = json.loads((exp / "set/summary.json").read_text())
    assert [row["iteration"] for row in summary["iterations"]] == [0, 1, 2]
    results = (tmp_path / "RESULTS.md").read_text()
    assert "| exp |" in results and "| SDR | SNR | reassigned |" in results and "set_snr_over_iterations.png" in results
    assert "snr_db" in summary["iterations"][2] and "snr_db" in (exp / "set/scores.csv").read_text()
    model, _ = load_network(exp)
    mix = torch.randn(1, 1234)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    with torch.no_grad():
        est = torch.from_numpy(session.run(None, {"mix": mix.numpy()})[0])
        torch.testing.assert_close(est, SoundOnly(model)(mix), atol=1e-4, rtol=0)


def test_macs_of_a_new_block_are_those_of_its_layers(extended: None) -> None:
    """Counted by hand: F filters, I inputs, N features, convolutions of 2 N outputs that see 5 frames."""
    filters, window, hop, n, length, sources = 33, 64, 32, 8, 640, 2
    settings = {"filterbank": {"kind": "stft", "filters": filters, "window": window, "hop": hop}}
    settings |= {"separator": {"simo_blocks": 2, "siso_blocks": 1}, "block": "conv", "conv": {"features": n}}
    frames = (length + window - 1) // hop
    transforms = (1 + 2 * sources) * 2 * filters * window  # encoded: mixture and bias; decoded: estimates
    blocks = (2 + sources) * n * 2 * n * 5
    rest = (1 + sources) * filters * n + n * sources * n + sources * n * filters
    assert count_macs(settings, length, 1) == frames * (transforms + blocks + rest)


def test_a_module_that_cannot_be_counted_is_named(extended: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.Conv1d, "forward", lambda self, x: x.repeat(1, 2, 1) * self.weight.mean())
    settings = {"filterbank": {"kind": "stft", "filters": 33, "window": 64, "hop": 32}, "block": "conv"}
    with pytest.raises(NotImplementedError, match="simo.0.blocks.0.conv .Conv1d. are not counted"):
        count_macs(settings, 640, 1)
