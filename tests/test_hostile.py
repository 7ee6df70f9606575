"""Files made to do harm, or damaged in any way: no code of theirs runs, nothing else is read, and no reader breaks."""

import sys
from contextlib import nullcontext
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from paper.rows import read_paper

from itersep.report.experiment import read_experiment
from itersep.system.cli import guard
from itersep.system.errors import UserError
from itersep.system.settings import read_yaml
from itersep.train.checkpoint import load_model
from itersep.train.config import rebuild_experiment
from tests.hostile import READERS

OPENED: list[str] = []
sys.addaudithook(lambda event, arguments: OPENED.append(str(arguments[0])) if event == "open" else None)


@st.composite
def damaged(draw: st.DrawFn, examples: list[bytes]) -> bytes:
    """A whole file with a few bytes put in, left out or changed, some of them those that its kind has a use for."""
    data = draw(st.sampled_from(examples))
    bits = st.sampled_from([b"", b"\0", b"\r", b"\n", b" ", b"-", b"null", b"[", b"{", b": ", b"1e400", b"9" * 30])
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        data = data[:start] + draw(bits | st.binary(max_size=4)) + data[start + draw(st.integers(0, 9)) :]
    return data


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_taken_as_it_is_or_refused_in_one_sentence(name: str) -> None:
    read, examples = READERS[name]
    for example in examples:
        read(example)

    @settings(deadline=None, max_examples=50)
    @given(data=damaged(examples) | st.binary())
    def feed(data: bytes) -> None:
        try:
            read(data)
        except UserError as error:
            assert "\n" not in str(error)

    feed()


# What fuzzing found, beside what the catalogue in tests/test_bad_input.py has of it.


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("data_dir", b"+00 " + b"\r" * 60),  # lost a carriage return each time that it was written and read
        ("data_dir", b"a \xe2\x80\xa8b\n"),  # took the line separator of Unicode for a line's end
        ("manifest", b"[" * 100000),
        ("manifest", b'{"sample_rate": 1' + b"0" * 400 + b"}"),
        ("config", b"data: {noise: null}"),  # was stored as if it were not there, and so read as the default
        ("config", b"a: &a [" + b"[" * 1200),
        ("config", b"a: &a [x, x]\nb: &b [*a, *a]\ntrain: {epochs: [*b, *b]}"),
        ("config", b"? [1]\n: 2"),
        ("config", b"train: {seed: 2024-99-99}"),
    ],
)
def test_what_was_found_stays_mended(name: str, data: bytes) -> None:
    try:
        READERS[name][0](data)
    except UserError as error:
        assert "\n" not in str(error)


PARTS = ("model", "model.filterbank", "model.separator", "objective", "data", "data.simulation", "optimizer")
VALUES = (
    "model.iterations",
    "model.detach",
    "optimizer.lr",
    "optimizer.schedule",
    "data.simulation.t60_s",
    "data.train",
)


@pytest.mark.parametrize("place", [*PARTS, *VALUES])
def test_a_stored_configuration_imports_nothing_and_reads_no_other_file(
    experiment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Though a class to import, or a file that has what belongs in its place, stands in a part's or value's place."""
    made, other = tmp_path / "made", tmp_path / "part.yaml"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "module_to_run.py").write_text(f"open({str(made)!r}, 'w')\nclass Part: pass\n")
    config = experiment().config
    *above, name = place.split(".")
    other.write_text(yaml.safe_dump(reduce(getitem, [*above, name], config)))
    for hostile in ({"class_path": "module_to_run.Part"}, str(other)):
        reduce(getitem, above, config)[name] = hostile
        OPENED.clear()
        is_text = place == "data.train" and hostile == str(other)  # the name of a folder: any text will do
        with nullcontext() if is_text else pytest.raises(UserError, match="^stored: its configuration does not fit"):
            rebuild_experiment(config, "stored")
        assert str(other) not in OPENED and "module_to_run" not in sys.modules and not made.exists()


def test_a_checkpoint_opens_itself_alone(experiment: Any, tmp_path: Path) -> None:
    built, path = experiment(), tmp_path / "best.pt"
    torch.save({"config": built.config | {"model": str(tmp_path / "part.yaml")}, "model": {}}, path)
    (tmp_path / "part.yaml").write_text(yaml.safe_dump(built.config["model"]))
    OPENED.clear()
    with pytest.raises(UserError, match="best.pt: its configuration does not fit this version: 'model' is a text"):
        load_model(path)
    assert {opened for opened in OPENED if opened.startswith(str(tmp_path))} == {str(path)}


def test_no_yaml_file_runs_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("a: !!python/object/apply:os.system ['touch ran']\n")
    for read, name in ((read_yaml, "config.yaml"), (read_experiment, "."), (read_paper, "config.yaml")):
        with pytest.raises(UserError, match="config.yaml"):
            read(name)
    assert not Path("ran").exists()


def test_what_a_file_holds_cannot_act_on_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "more.yaml").write_text('"\\e[2J\\n\\u202e": 1\n')
    monkeypatch.setattr(sys, "argv", ["train.py"])

    def refuse() -> None:
        raise UserError(f"more.yaml: '{next(iter(read_yaml(tmp_path / 'more.yaml')))}' is not a setting")

    with pytest.raises(SystemExit):
        guard(refuse)
    assert capsys.readouterr().err == "train.py: more.yaml: '\\x1b[2J\\n\\u202e' is not a setting\n"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        torch.OutOfMemoryError("CUDA out of memory"),
    ],
    ids=["python", "cpu", "gpu"],
)
def test_too_little_memory_is_told_in_a_sentence(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        guard(fail)
    said = capsys.readouterr().err
    assert ended.value.code == 1 and said.count("\n") == 1 and "not enough memory" in said and "batch_size" in said


def test_other_failures_of_the_program_keep_their_traceback() -> None:
    def fail() -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        guard(fail)
