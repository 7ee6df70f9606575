"""Work shared by processes; the functions stand at the top so that spawned workers can import them."""

import errno
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from itersep.system.errors import UserError
from itersep.system.parallel import map_parallel, take_part

from ..processes import STOPPED, await_end

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import time
from pathlib import Path
from itersep.system.cli import guard
from itersep.system.parallel import map_parallel

def work(name):
    Path(name).touch()
    time.sleep(100)

if __name__ == "__main__":
    Path("main").touch()
    guard(lambda: list(map_parallel(work, ["one", "other"], 2)))
elif {slow}:
    Path("one").touch()
    Path("other").touch()
    time.sleep(100)
"""


def square(number: int) -> int:
    return number * number


def fail_at(number: int, bad: int, error: Exception) -> int:
    if number == bad:
        raise error
    time.sleep(0.01)
    return number


def die_at(number: int, bad: int) -> int:
    if number == bad:
        os._exit(1)
    return number


@pytest.mark.parametrize("nj", [1, 2, 3, 9])
def test_every_item_is_worked_on_once(nj: int) -> None:
    assert sorted(map_parallel(square, range(7), nj)) == [square(number) for number in range(7)]


@pytest.mark.parametrize("count", [1, 3, 7, 9])
def test_parts_share_all_items_evenly(count: int) -> None:
    items = list(range(7))
    parts = [take_part(items, f"{number}/{count}") for number in range(1, count + 1)]
    assert sorted(sum(parts, [])) == items == take_part(items, "")
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("part", ["0/3", "4/3", "3", "1/0", "-1/2", "1/3/3", "a/b", " 1/3"])
def test_what_is_no_part_is_named(part: str) -> None:
    with pytest.raises(UserError, match=f"not '{part}'"):
        take_part([1], part)


@pytest.mark.parametrize("nj", [1, 3])
@pytest.mark.parametrize("error", [UserError("clip.wav: is silent"), OSError(errno.ENOSPC, "No space left", "a.wav")])
def test_a_worker_s_error_ends_the_work_and_is_the_only_thing_said(
    nj: int, error: Exception, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(type(error)) as caught:
        list(map_parallel(partial(fail_at, bad=4, error=error), range(200), nj))
    assert str(caught.value) == str(error)
    assert capfd.readouterr().err == ""


def test_all_workers_may_fail_at_once_in_silence(capfd: pytest.CaptureFixture[str]) -> None:
    for bad in (0, 1):  # every item fails: each worker does so at its first
        with pytest.raises(UserError):
            list(map_parallel(partial(fail_at, bad=bad, error=UserError("no")), [bad] * 9, 3))
    assert capfd.readouterr().err == ""


def test_a_worker_that_dies_is_reported(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="worker process died"):
        list(map_parallel(partial(die_at, bad=3), range(8), 2))


@pytest.mark.parametrize("slow", [False, True], ids=["at work", "coming up"])
@pytest.mark.parametrize("group", [False, True], ids=["parent", "group"])
@pytest.mark.parametrize("number", STOPPED)
def test_no_process_outlives_its_parent(number: int, group: bool, slow: bool, tmp_path: Path) -> None:
    """The parent alone is stopped, or all, as by a terminal; processes are at work, or still importing."""
    (tmp_path / "program.py").write_text(PROGRAM.format(slow=slow))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "program.py"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        while not all((tmp_path / name).exists() for name in ("one", "other")):
            assert process.poll() is None
            time.sleep(0.01)
        (os.killpg if group else os.kill)(process.pid, number)
        assert process.wait(60) == STOPPED[number]
        if slow and number == signal.SIGKILL and not group:
            os.killpg(process.pid, number)  # until it has come up, a process does not know of its parent
        await_end(process.pid)
        said = process.stderr.read()
    assert said == "" if number == signal.SIGKILL else said.count("\n") == 1 and "the same command resumes it" in said
