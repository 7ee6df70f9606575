"""tables.sh and its list of trainings, in a copy of the recipe whose run.sh and page only write down what was asked."""

import json
import runpy
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from paper.rows import read_paper, resolve_configs

RUN = """#!/usr/bin/env bash
cd "$(dirname "$0")"
echo "$*" >> asked
[ ! -e fail ] || exit 3
"""
REPORT = """import sys
with open("asked", "a") as asked:
    print("page", *sys.argv[1:], file=asked)
"""


@pytest.fixture
def recipe(clone: Path, copy_recipe: Callable[[str], Path]) -> Path:
    """The recipe in a clone of the repository."""
    recipe = copy_recipe("librispeech_nonspeech")
    (recipe / "run.sh").write_text(RUN)
    (recipe / "local/report.py").write_text(REPORT)
    return recipe


@pytest.fixture
def tables(recipe: Path, shell: Callable) -> Callable[..., subprocess.CompletedProcess]:
    """Runs tables.sh, from another folder."""
    return lambda *options: shell(recipe / "tables.sh", *options, folder=recipe.parent)


def asked(recipe: Path) -> list[str]:
    """The stages, yaml files and iterations that run.sh was called with since it was last looked at."""
    path = recipe / "asked"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [line.removesuffix(" --nj 2") for line in lines]


def finish(recipe: Path, configs: str, iterations: int, epochs: int = 0) -> Path:
    """Leave behind what run.sh would: an experiment with so many epochs (0: all), separated and scored."""
    files = configs.split(",")
    folder = recipe / "exp" / "_".join(Path(name).stem for name in files)
    config = resolve_configs([str(recipe / name) for name in files])
    epochs = epochs or config["train"]["epochs"]
    history = [{"epoch": n, "train_loss": -n, "valid_loss": -n} for n in range(1, epochs + 1)]
    (folder / "test_2mix").mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in history))
    separation = {"model_sha256": "0f", "mixtures_sha256": "0e", "sources": 2, "iterations": iterations}
    separation |= {"sample_rate": 16000, "device": "cpu", "command": "separate.py"}
    (folder / "test_2mix/separation.json").write_text(json.dumps(separation))
    rows = [{"iteration": i} for i in range(iterations + 1)]
    (folder / "test_2mix/summary.json").write_text(json.dumps({"model_sha256": "0f", "iterations": rows}))
    return folder


def states(listed: str) -> Iterator[str]:
    """The state of each training that --list names."""
    for line in listed.splitlines()[1:]:
        yield next(state for state in ("not run", "started", "trained", "done") if f"  {state}" in line)


ROW = "conf/freq.yaml,conf/rows/simo1_siso2_iter2.yaml"


def test_the_list_names_every_training_and_runs_none(recipe: Path, tables) -> None:
    result = tables("--list")
    assert (result.returncode, result.stderr, asked(recipe)) == (0, "", [])
    assert list(states(result.stdout)) == ["not run"] * 27
    line = next(line for line in result.stdout.splitlines() if " freq_simo1_siso2_iter2 " in line)
    assert line.split()[:3] == ["1,", "4", "freq_simo1_siso2_iter2"]
    assert "1: 9.2, 2: 9.6, 3: 9.6, 4: 9.6" in line and line.endswith(f"  {ROW}")


def test_a_table_is_its_rows_each_separated_as_often_as_any_table_needs(recipe: Path, tables) -> None:
    assert tables("--table", "4").returncode == 0
    *rows, page = asked(recipe)
    domains = [("time", ("", "_iter2", "_iter3")), ("freq", ("", "_iter2", "_iter3"))]
    domains += [("freq", ("_oracle", "_iter2_oracle", "_iter3_oracle"))]
    assert rows == [
        f"--stage 2 --config conf/{domain}.yaml,conf/rows/simo1_siso2{name}.yaml --iterations 4"
        for domain, names in domains
        for name in names
    ]
    assert page.startswith("page ") and page.endswith("--out RESULTS.md")


def test_what_is_done_is_left_and_what_failed_is_gone_on_with(recipe: Path, tables) -> None:
    (recipe / "fail").touch()
    assert tables("--table", "3").returncode == 3
    first = "--config conf/freq.yaml,conf/rows/simo1_siso2_iter2_ownsimo.yaml --iterations 2"
    second = "--config conf/freq.yaml,conf/rows/simo1_siso2_iter3_ownsimo.yaml --iterations 3"
    assert asked(recipe) == [f"--stage 2 {first}"]
    (recipe / "fail").unlink()
    one = finish(recipe, first.split()[1], 2)
    assert tables("--table", "3").returncode == 0
    assert asked(recipe) == [f"--stage 2 {second}", f"page exp/{one.name} --out RESULTS.md"]
    two = finish(recipe, second.split()[1], 3)
    assert tables("--table", "3").returncode == 0  # the page needs neither audio nor weights
    assert asked(recipe) == [f"page exp/{one.name} exp/{two.name} --out RESULTS.md"]


def test_parts_share_the_rows_and_leave_the_page_to_the_end(recipe: Path, tables) -> None:
    (recipe / "run.sh").write_text(RUN.replace('"$*"', '"page=${ITERSEP_PAGE-yes} $*"'))
    assert tables("--table", "3").returncode == 0
    *rows, page = asked(recipe)
    assert len(rows) == 2 and page.startswith("page ")
    for number in (1, 2, 3):  # more than rows
        assert tables("--table", "3", "--part", f"{number}/3").returncode == 0
        assert asked(recipe) == [row.replace("page=yes", "page=") for row in rows[number - 1 : number]]


def test_done_means_trained_to_the_end_as_the_yaml_says_and_scored_in_full(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(recipe)
    rows = runpy.run_path("local/list_trainings.py")
    row = next(row for row in read_paper("local/rows.yaml").rows if row.name == "freq_simo1_siso2_iter2")

    def state() -> str:
        return next(rows["list_trainings"](row, "paper", 1)).state()

    assert state() == "not run"
    finish(recipe, ROW, 4, epochs=99)
    assert state() == "started"
    finish(recipe, ROW, 2)
    assert state() == "trained"
    folder = finish(recipe, ROW, 4)
    assert state() == "done"
    (folder / "test_2mix/separation.json").unlink()
    assert state() == "started"
    finish(recipe, ROW, 4)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"data": config["data"] | {"epoch_size": 7}}))
    assert state() == "started"


def test_scale_and_seeds_are_overlays_of_the_row(recipe: Path, tables, tmp_path: Path) -> None:
    row = ("--row", "freq_simo1_siso2_iter2")
    assert tables(*row, "--scale", "small", "--seeds", "3").returncode == 0
    small = f"--config {ROW},conf/scale/small.yaml"
    assert asked(recipe)[:3] == [
        f"--stage 2 {small}{seed} --iterations 4" for seed in ("", ",conf/seed/seed1.yaml", ",conf/seed/seed2.yaml")
    ]
    (recipe.parent / "mine.yaml").write_text("train: {epochs: 3}\n")  # where tables.sh is called from
    assert tables(*row, "--scale", "mine.yaml").returncode == 0
    assert asked(recipe)[0] == f"--stage 2 --config {ROW},../mine.yaml --iterations 4"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--row", "freq_simo9", "--table", "2"], "no row 'freq_simo9' in table 2"),
        (["--row", "freq_simo9"], "no row 'freq_simo9' in any table"),
        (["--table", "5"], "no table 5; --table is one of 1, 2, 3, 4, or 0 for all"),
        (["--table", "3", "--scale", "huge"], "conf/scale/huge.yaml: no such file"),
        (["--table", "one"], "--table needs a number"),
        (["all"], "unexpected argument 'all'"),
    ],
)
def test_mistakes_are_one_sentence(recipe: Path, tables, options: list[str], named: str) -> None:
    result = tables(*options)
    assert result.returncode == 2 and named in result.stderr and result.stderr.count("\n") == 1
    assert asked(recipe) == []
