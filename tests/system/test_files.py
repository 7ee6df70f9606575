"""Files written aside: nothing half-written under a name, and nothing left of those who were killed."""

import os
import platform
import subprocess
from pathlib import Path

import pytest

from itersep.system.files import write_aside, write_text


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "table.txt"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), write_aside(path) as aside:
        aside.write_text("ne")
        assert path.read_text() == "old" and aside.suffix == path.suffix
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(path.parent.iterdir()) == [path]


def test_what_killed_processes_were_writing_is_removed_and_nothing_else(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as gone:
        pass
    here, living = platform.node(), os.getppid()
    ended = os.spawnlp(os.P_NOWAIT, "true", "true")
    os.waitid(os.P_PID, ended, os.WEXITED | os.WNOWAIT)  # and is still listed, as nobody asks how it ended
    left = [f".utt2spk.{here}.{gone.pid}", f".a.1.{here}.{gone.pid}.wav", f".a.{here}.{ended}.scp"]
    others = [f".a.{here}.{living}.wav", f".a.elsewhere-{here}.{gone.pid}.wav", f"a.{here}.{gone.pid}.wav", ".hidden"]
    for name in (*left, *others):
        (tmp_path / name).touch()
    write_text(tmp_path / "table", "new")
    os.waitpid(ended, 0)
    assert {path.name for path in tmp_path.iterdir()} == {"table", *others}


def test_long_names_have_names_aside_that_differ(tmp_path: Path) -> None:
    paths = [tmp_path / f"{'n' * 240}{k}.wav" for k in (1, 2)]
    with write_aside(paths[0]) as first, write_aside(paths[1]) as second:
        first.write_text("1")
        second.write_text("2")
    assert [path.read_text() for path in paths] == ["1", "2"] and len(list(tmp_path.iterdir())) == 2
