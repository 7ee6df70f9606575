"""Shell programs: options, usage errors, style; each test runs the real script."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("egs/*/*.sh", "egs/*/local/*.sh", "utils/*.sh", "tools/*.sh", ".ci/run")
    for path in ROOT.glob(pattern)
)
SOURCED = ("path.sh", "cmd.sh", "parse_options.sh", "recipe.sh", "experiment.sh")
PROGRAM = """#!/usr/bin/env bash
# Greets.
#
# usage: greet.sh [options]
set -euo pipefail
stage=0
full_name="no one"
title=
. "{parse_options}"
late=0
echo "$stage|$full_name|$title|$*"
"""


@pytest.fixture
def greet(tmp_path: Path):
    """Run a program that takes its options by utils/parse_options.sh."""
    script = tmp_path / "with blank" / "greet.sh"
    script.parent.mkdir()
    script.write_text(PROGRAM.format(parse_options=ROOT / "utils/parse_options.sh"))
    return lambda *arguments: run("bash", script, *arguments)


def run(*command: object, **options) -> subprocess.CompletedProcess:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, **options)


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        ([], "0|no one||"),
        (["--stage", "3"], "3|no one||"),
        (["--stage=3", "--title="], "3|no one||"),
        (["--full-name", "Ada  Lovelace", "--title", "* $HOME `id`"], "0|Ada  Lovelace|* $HOME `id`|"),
        (["--full-name=a=b --stage 2"], "0|a=b --stage 2||"),
        (["--title", "", "x", "--stage", "2"], "0|no one||x --stage 2"),
    ],
)
def test_options_set_variables_whatever_their_values_hold(greet, arguments, printed):
    result = greet(*arguments)
    assert (result.returncode, result.stdout, result.stderr) == (0, printed + "\n", "")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--stag", "1"], "unknown option --stag;"),
        (["--stop_stage=1"], "unknown option --stop_stage;"),
        (["--path", "/tmp"], "unknown option --path;"),  # a variable of the shell, not of the program
        (["--late", "1"], "unknown option --late;"),
        (["--stage"], "--stage needs a value;"),
        (["--stage", "two"], "--stage needs a number, not 'two';"),
        (["--full name", "x"], "unknown option --full name;"),
        (["--x;id", "x"], "unknown option --x;id;"),
    ],
)
def test_a_wrong_option_ends_in_one_sentence_that_names_it(greet, arguments, named):
    result = greet(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert named in result.stderr and result.stderr.count("\n") == 1


def test_help_is_the_comment_at_the_top(greet):
    result = greet("--help")
    assert (result.returncode, result.stdout) == (0, "Greets.\n\nusage: greet.sh [options]\n")


@pytest.mark.parametrize("recipe", sorted(path.parent.name for path in ROOT.glob("egs/*/run.sh")))
def test_a_recipe_refuses_wrong_options_before_it_does_anything(recipe, tmp_path):
    script = ROOT / "egs" / recipe / "run.sh"
    for arguments in (["--stages", "1"], ["--stage", "all"], ["1"], ["--noise-dir", "x"], ["--config", ""]):
        result = run(script, *arguments, cwd=tmp_path)
        assert (result.returncode, result.stdout) == (2, "")
        assert arguments[0] in result.stderr and result.stderr.count("\n") == 1
    result = run(script, "--stage", 3, "--stop-stage", 2, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert "--stop-stage 2 comes before --stage 3" in result.stderr and result.stderr.count("\n") == 1
    usage = run(script, "--help", cwd=tmp_path).stdout
    settings = script.read_text().split("parse_options.sh")[0]
    variables = [line.split("=")[0] for line in settings.splitlines() if line[:1].isalpha() and "=" in line]
    assert 0 < len(variables) <= 13
    for variable in variables:
        assert f"--{variable.replace('_', '-')} " in usage


def test_download_says_what_to_do_without_apt(tmp_path):
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    for program in ("mkdir", "bash"):
        (bin_dir / program).symlink_to(shutil.which(program))
    script = ROOT / "egs/mini/local/download.sh"
    result = run(shutil.which("bash"), script, tmp_path / "my downloads", env={"PATH": str(bin_dir)})
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "apt-get is missing" in result.stderr and "--corpus-dir" in result.stderr


def test_install_names_the_pythons_it_can_use(tmp_path):
    """In a copy without a venv, and with a python that is too old first in the path."""
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    for program in ("bash", "dirname", "sha256sum", "cat", "flock"):
        (bin_dir / program).symlink_to(shutil.which(program))
    (bin_dir / "python3").write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.8.2 && exit\nexit 1\n')
    (bin_dir / "python3").chmod(0o755)
    (tmp_path / "tools").mkdir()
    for name in ("tools/install.sh", "setup.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    result = run(shutil.which("bash"), tmp_path / "tools/install.sh", env={"PATH": str(bin_dir)})
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "Python 3.10 to 3.14" in result.stderr and "3.8.2" in result.stderr
    assert not (tmp_path / "tools/venv").exists()


@pytest.mark.parametrize("script", SCRIPTS)
def test_shellcheck_finds_nothing(script):
    shellcheck = shutil.which("shellcheck") or pytest.skip("needs shellcheck")
    result = run(shellcheck, ROOT / script)
    assert result.stdout == ""


@pytest.mark.parametrize("script", SCRIPTS)
def test_programs_stop_at_errors_and_can_be_run(script):
    text, sourced = (ROOT / script).read_text(), Path(script).name in SOURCED
    assert sourced or "\nset -euo pipefail\n" in text
    assert os.access(ROOT / script, os.X_OK) != sourced


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_what_starts_with_an_interpreters_name_can_be_run_and_nothing_else():
    listed = run("git", "-C", ROOT, "ls-files", "-z").stdout.split("\0")
    files = [ROOT / name for name in listed if name and (ROOT / name).is_file()]
    assert len(files) > 100
    starts = {path for path in files if path.read_bytes()[:2] == b"#!"}
    assert starts == {path for path in files if os.access(path, os.X_OK)}
