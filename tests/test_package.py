"""The package as it is installed: what it holds, and what it does without."""

import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from setuptools import Distribution

import itersep

from .runs import end, start

ROOT = Path(__file__).resolve().parent.parent
WITHOUT_TORCHAUDIO = """
import sys
assert "torchaudio" not in sys.modules  # the scores and training are loaded already
sys.modules["torchaudio"] = None  # whoever imports it now fails

import importlib, pkgutil
import numpy as np
import itersep
from itersep.data.clean import resample
from itersep.system.errors import UserError

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


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What setup.py says of the package."""
    said: dict[str, Any] = {}
    monkeypatch.setattr("setuptools.setup", said.update)
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    return said


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_a_wheel_holds_the_packages_files_and_no_others(described: dict[str, Any]) -> None:
    build = Distribution({**described, "script_name": "setup.py"}).get_command_obj("build_py")
    build.ensure_finalized()
    built = [str(Path(path).relative_to(build.build_lib)) for path in build.get_outputs(include_bytecode=False)]
    list_files = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "itersep"]
    listed = subprocess.run(list_files, check=True, capture_output=True, text=True).stdout.split("\0")
    assert sorted(built) == sorted({path for path in listed if path and Path(path).exists()})


def test_versions_are_the_same_wherever_they_stand(described: dict[str, Any]) -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text("utf-8"))
    tested = workflow["jobs"]["tests"]["strategy"]["matrix"]["python"]
    named = [name.rpartition(" ")[2] for name in described["classifiers"] if ":: Python ::" in name]
    allowed = SpecifierSet(described["python_requires"])
    assert tested == named == [version for version in (f"3.{minor}" for minor in range(30)) if version in allowed]
    assert f"Python {tested[0]} to {tested[-1]}" in (ROOT / "README.md").read_text("utf-8")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert described["version"] == citation["version"] == itersep.__version__


def test_the_page_of_pypi_names_no_file_beside_it(described: dict[str, Any]) -> None:
    page = described["long_description"]
    assert page.startswith("# itersep\n") and not re.search(r"\]\((?!http)", page)


def test_actionlint_finds_nothing() -> None:
    actionlint = shutil.which("actionlint") or pytest.skip("needs actionlint")
    result = subprocess.run([actionlint, *ROOT.glob(".github/workflows/*.yml")], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "")
