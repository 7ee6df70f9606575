"""Recipes in a clone of the repository in which everything is installed, and where `python` is there at once."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.runs import ROOT, serve_programs


@pytest.fixture(scope="session")
def python() -> Iterator[str]:
    """A program that stands in the place of python, which would load torch for seconds whenever it is called."""
    with serve_programs() as program:
        yield program


@pytest.fixture
def clone(tmp_path: Path, python: str) -> Path:
    """The clone, with a blank and other letters in its path; what belongs to no recipe is there."""
    clone = tmp_path / "mein Klön"
    (clone / "egs").mkdir(parents=True)
    for name in ("utils", "itersep", ".shellcheckrc"):
        (clone / name).symlink_to(ROOT / name)
    for name, text in {"tools/install.sh": "#!/bin/sh\n", "tools/venv/bin/python": python}.items():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(text)
        (clone / name).chmod(0o755)
    return clone


@pytest.fixture
def copy_recipe(clone: Path) -> Callable[[str], Path]:
    """Copies a recipe of egs/ into the clone, without what was made there."""
    made = shutil.ignore_patterns("data", "exp", "downloads", "records", "results", "__pycache__")
    return lambda name: Path(shutil.copytree(ROOT / "egs" / name, clone / "egs" / name, ignore=made))


@pytest.fixture
def shell() -> Callable[..., subprocess.CompletedProcess]:
    """Runs a program with options in a folder, to its end."""

    def run(*command: object, folder: Path) -> subprocess.CompletedProcess:
        words = [str(word) for word in command]
        return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300)

    return run
