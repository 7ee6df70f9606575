"""What is around a program changes no byte of what it writes: locale, umask, and what its folders are called."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runs import ROOT, Ended, contents

SPEC = ["--spec.sample_rate", "8000", "--spec.length_s", "0.5", "--count", "3"]


@pytest.fixture
def simulate(speech_dir: Path, noise_dir: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """The command that simulates to a folder, of clips in folders with blanks and letters that are not English."""
    clips = shutil.copytree(tmp_path, tmp_path / "Hörproben für alle")
    for table in clips.glob("*/wav.scp"):
        table.write_text(table.read_text("utf-8").replace(str(tmp_path), str(clips)), "utf-8")

    def command(out: Path) -> list[str]:
        options = ["--speech", clips / speech_dir.name, "--noise", clips / noise_dir.name, "--out", out]
        return [str(ROOT / "utils/simulate.py"), *map(str, options), *SPEC]

    return command


LOCALES = {
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},  # else Python helps itself
    "de_DE.UTF-8": {},  # 0,5 for a half
    "de_DE.ISO-8859-1": {},
}


@pytest.mark.parametrize("name", LOCALES)
def test_the_locale_changes_nothing(
    name: str, simulate: Callable[..., list[str]], program: Callable[..., Ended], tmp_path: Path
) -> None:
    environment = {key: value for key, value in os.environ.items() if key[:3] != "LC_" and key != "LANG"}
    environment |= LOCALES[name] or {"LC_ALL": name, "LOCPATH": str(tmp_path)}
    if not LOCALES[name]:
        language, encoding = name.split(".")
        localedef = shutil.which("localedef") or pytest.skip("needs localedef")
        made = subprocess.run([localedef, "-i", language, "-f", encoding, tmp_path / name], capture_output=True)
        if made.returncode:
            pytest.skip("needs the package locales")
    out = [tmp_path / kind / "größer als" / "dev_2mix" for kind in ("here", "there")]
    assert program(*simulate(out[0])).status == 0
    done = subprocess.run([sys.executable, *simulate(out[1])], env=environment, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    here, there = map(contents, out)
    assert there == {file: text.replace(b"/here/", b"/there/") for file, text in here.items()}


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_umask_changes_permissions_alone(
    umask: int, simulate: Callable[..., list[str]], program: Callable[..., Ended], tmp_path: Path
) -> None:
    out = [tmp_path / kind / "dev_2mix" for kind in ("here", "there")]
    assert program(*simulate(out[0])).status == 0
    before = os.umask(umask)
    try:
        assert program(*simulate(out[1])).status == 0
    finally:
        os.umask(before)
    here, there = map(contents, out)
    assert there == {file: text.replace(b"/here/", b"/there/") for file, text in here.items()}
    for path in out[1].rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o777 if path.is_dir() else 0o666) & ~umask
