"""Work shared by processes; the functions stand at the top so that spawned workers can import them."""

import errno
import os
import time
from functools import partial
from pathlib import Path

import pytest

from itersep.errors import UserError
from itersep.parallel import map_parallel, take_part


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
