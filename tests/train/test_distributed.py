import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from itersep.system.errors import UserError
from itersep.train.config import Experiment
from itersep.train.distributed import World
from itersep.train.trainer import Trainer
from tests.runs import TRAIN, assert_same_run, end, find_meeting, history, start, start_pair

Build = Callable[..., Experiment]


@dataclass(frozen=True)
class Told(World):
    """One of two processes, told what the sums are that it would hear."""

    sums: list[torch.Tensor] = field(default_factory=list)

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        return values.copy_(self.sums.pop(0))


@pytest.mark.parametrize(("size", "mixtures", "accumulate"), [(1, 5, 2), (2, 5, 1), (3, 7, 2)])
@pytest.mark.parametrize("overrides", [(), ("--model.detach=false", "--objective.layerwise=true")])
def test_the_parts_of_a_batch_add_up_to_the_batch(
    experiment: Build, tmp_path: Path, overrides: tuple[str, ...], size: int, mixtures: int, accumulate: int
) -> None:
    ref = torch.randn(mixtures, 2, 1000, dtype=torch.float64)
    batch_size = f"--train.batch_size={mixtures}"

    def gradients(trainer: Trainer, worlds: list[World]) -> tuple[float, list[torch.Tensor]]:
        trainer.model.double()
        value = sum(trainer.backward(world.deal(ref.sum(1)), world.deal(ref)) for world in worlds)
        return value, [parameter.grad for parameter in trainer.model.parameters()]

    parts = Trainer(experiment(batch_size, f"--train.accumulate={accumulate}", *overrides), tmp_path)
    value, grads = gradients(parts, [World(rank, size) for rank in range(size)])
    expected, expected_grads = gradients(Trainer(experiment(batch_size, *overrides), tmp_path), [World()])
    assert value == pytest.approx(expected, rel=1e-12)
    for grad, other in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(grad, other, rtol=1e-9, atol=1e-12)


def test_everything_is_dealt_out_once() -> None:
    for size in range(1, 5):
        dealt = [World(rank, size).deal(range(10)) for rank in range(size)]
        assert sorted(item for share in dealt for item in share) == list(range(10))
        assert max(map(len, dealt)) - min(map(len, dealt)) <= 1


def test_a_parameter_without_a_gradient_stays_without_and_the_others_get_the_sum() -> None:
    used, unused = torch.nn.Parameter(torch.zeros(2, 3)), torch.nn.Parameter(torch.zeros(4))
    used.grad = torch.ones(2, 3)
    world = Told(rank=1, size=2, sums=[torch.arange(12.0)])
    assert world.sum_gradients([unused, used], 1.0, 0.0) == [10.0, 11.0]
    assert unused.grad is None and torch.equal(used.grad, torch.arange(4.0, 10.0).view(2, 3))


def test_a_batch_that_does_not_reach_for_all_is_refused(experiment: Build, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="train.batch_size is 3, .* 4 processes"):
        Trainer(experiment("--train.batch_size=3"), tmp_path, World(0, 4))
    with pytest.raises(UserError, match="train.batch_size is 3, .* 2 processes with train.accumulate 2"):
        Trainer(experiment("--train.batch_size=3", "--train.accumulate=2"), tmp_path, World(0, 2))
    with pytest.raises(UserError, match="train.batch_size is 3, .* train.accumulate 4"):
        Trainer(experiment("--train.batch_size=3", "--train.accumulate=4"), tmp_path)


def test_processes_that_do_not_start_alike_are_refused(experiment: Build, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"do not start alike \(steps behind them: 12, 0\)"):
        Trainer(experiment(), tmp_path, Told(1, 2, sums=[torch.tensor([[12.0, 1.0], [0.0, 1.0]])]))
    with pytest.raises(UserError, match=r"do not start alike \(steps behind them: 0, 0\)"):
        Trainer(experiment(), tmp_path, Told(1, 2, sums=[torch.tensor([[0.0, 1.0], [0.0, 2.0]])]))


UNUSED = (
    *("--model.detach=false", "--model.share_simo=false"),
    *("--train.one_pass_epochs=1", "--train.draw_iterations=true"),
)
ALL_TERMS = ("--objective.layerwise=true", "--objective.oracle_bias=true", "--train.accumulate=2")


@pytest.mark.parametrize("overrides", [("--train.workers=1",), UNUSED, ALL_TERMS], ids=["plain", "unused", "all-terms"])
def test_two_processes_train_like_one(config: Path, tmp_path: Path, overrides: tuple[str, ...]) -> None:
    options = ("--config", config, "--train.epochs=2", "--train.batch_size=5", "--data.epoch_size=15", *overrides)
    alone = start(TRAIN, *options, "--out", tmp_path / "alone", output=tmp_path / "alone.log")
    pair = start_pair(*options, "--out", tmp_path / "pair", output=tmp_path / "pair.log")
    assert end([alone, *pair]) == [0, 0, 0], (tmp_path / "pair.log0").read_text()
    one, two = history(tmp_path / "alone"), history(tmp_path / "pair")
    assert len(one) == 2
    for record, other in zip(one, two, strict=True):
        assert record.keys() == other.keys()
        for name, value in record.items():
            assert other[name] == pytest.approx(value, rel=1e-4, abs=2e-4), name
    first, second = (torch.load(tmp_path / out / "last.pt", weights_only=True)["model"] for out in ("alone", "pair"))
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=1e-3, atol=1e-4)
    assert "epoch" not in (tmp_path / "pair.log1").read_text()  # one speaks for both


def test_two_processes_go_on_to_the_bit_after_one_was_told_to_stop_and_one_was_lost(
    config: Path, tmp_path: Path
) -> None:
    options = ("--config", config, "--train.batch_size=3", "--data.epoch_size=30", "--train.save_every_s=0")
    cut = tmp_path / "cut"

    def interrupt(number: int, rank: int) -> list[int | None]:
        before = (cut / "last.pt").stat().st_mtime_ns if cut.exists() else 0
        pair = start_pair(*options, "--out", cut, output=tmp_path / "log")
        while not (cut / "last.pt").exists() or (cut / "last.pt").stat().st_mtime_ns == before:
            assert all(process.is_alive() for process in pair), (tmp_path / "log0").read_text()
            time.sleep(0.005)
        os.kill(pair[rank].pid, number)
        return end(pair)

    assert end(start_pair(*options, "--out", tmp_path / "whole", output=tmp_path / "whole.log")) == [0, 0]
    assert interrupt(signal.SIGTERM, rank=1) == [143, 143]
    assert interrupt(signal.SIGKILL, rank=1) == [1, -signal.SIGKILL]
    error = (tmp_path / "log0").read_text()
    assert "train.py: another training process ended or cannot be reached" in error and "Traceback" not in error
    assert interrupt(signal.SIGKILL, rank=0) == [-signal.SIGKILL, 1]
    assert end(start_pair(*options, "--out", cut, output=tmp_path / "log")) == [0, 0]
    assert_same_run(tmp_path / "whole", cut)


MEET_AND_PART = """
from pathlib import Path
import torch
from itersep.train.distributed import join_world
with join_world() as world:
    torch.optim.Adam([torch.zeros(1, requires_grad=True)]).step()  # the first optimizer imports what knows of groups
    world.wait()
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    assert "pt_gloo_runloop\\n" in names, names
names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
assert "pt_gloo_runloop\\n" not in names, names
"""


def test_no_thread_of_a_world_outlives_it() -> None:
    meeting = find_meeting()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MEET_AND_PART],
            env=os.environ | {name: str(value) for name, value in (meeting | {"RANK": rank, "WORLD_SIZE": 2}).items()},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    for process in processes:
        _, error = process.communicate(timeout=100)
        assert process.returncode == 0, error
