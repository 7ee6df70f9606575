"""The package as it is installed: what it holds, and what it does without."""

from pathlib import Path

from .runs import end, start

WITHOUT_TORCHAUDIO = """
import sys
assert "torchaudio" not in sys.modules  # the scores and training are loaded already
sys.modules["torchaudio"] = None  # whoever imports it now fails

import importlib, pkgutil
import numpy as np
import itersep
from itersep.data.clean import resample
from itersep.errors import UserError

for module in pkgutil.walk_packages(itersep.__path__, "itersep."):
    importlib.import_module(module.name)
wave = np.random.default_rng(0).uniform(-0.3, 0.3, 4410).astype(np.float32)
assert itersep.load(device="cpu").separate(wave, 44100).shape == (2, 4410)
assert resample(wave, 16000, 16000) is wave
try:
    resample(wave, 44100, 16000)
except UserError as error:
    print(error)
"""


def test_all_but_data_preparation_works_without_torchaudio(tmp_path: Path) -> None:
    program, output = tmp_path / "program.py", tmp_path / "output"
    program.write_text(WITHOUT_TORCHAUDIO)
    assert end([start(program, output=output)]) == [0], output.read_text()
    assert output.read_text().startswith("recordings at 44100 Hz are resampled by torchaudio, which cannot be loaded (")
    assert output.read_text().count("\n") == 1
