"""Programs as processes that share one import of torch, so that each is there at once; stopped, and compared."""

import json
import multiprocessing
import os
import runpy
import signal
import socket
import sys
from collections.abc import Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import torch

from itersep.signals import end_with_parent

TRAIN = Path(__file__).resolve().parent.parent / "utils/train.py"
TIMES = ("seconds", "data_wait_s", "mixtures_per_s", "peak_memory_mib")
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.warm"])


def start(
    program: str | Path, *options: object, output: Path, folder: Path | None = None, **environment: object
) -> ForkServerProcess:
    """Start a program in a process and session of its own, its output and errors in a file; ``folder`` is its own."""
    variables = {name: str(value) for name, value in environment.items()}
    command = [str(part) for part in (program, *options)]
    process = SERVER.Process(target=_run, args=(command, output, folder or Path.cwd(), variables))
    process.start()
    return process


def _run(command: list[str], output: Path, folder: Path, environment: dict[str, str]) -> None:
    os.setsid()
    end_with_parent(signal.SIGKILL)
    with open(output, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    os.environ.update(environment)
    sys.argv = command
    try:
        runpy.run_path(command[0], run_name="__main__")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # the program has ended


def find_meeting() -> dict[str, object]:
    """Where processes that train together are to meet, as variables of their environment: a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": probe.getsockname()[1]}


def start_pair(*options: object, output: Path) -> list[ForkServerProcess]:
    """Start two training processes that train together, as torchrun does; output in <output>0 and <output>1."""
    meeting = find_meeting()
    return [
        start(TRAIN, *options, output=Path(f"{output}{rank}"), RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, **meeting)
        for rank in (0, 1)
    ]


def end(processes: Sequence[ForkServerProcess], timeout: float = 100) -> list[int | None]:
    """Exit statuses, -N for signal N; a process that does not end is killed and has None."""
    statuses = []
    for process in processes:
        process.join(timeout)
        statuses.append(process.exitcode)
        process.kill()
    return statuses


def history(out: Path) -> list[dict[str, Any]]:
    """history.jsonl without what was measured."""
    lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def assert_same_run(one: Path, other: Path) -> None:
    """Checkpoints are the same to the bit, and histories but for what was measured."""
    assert history(one) == history(other)
    for name in ("last.pt", "best.pt"):
        first, second = (torch.load(out / name, weights_only=True) for out in (one, other))
        assert first.keys() == second.keys()
        for key in first.keys() - {"config"}:
            assert_same(first[key], second[key])


def assert_same(one: Any, other: Any) -> None:
    """Two trees of tensors and plain values are the same to the bit, but for what was measured."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one.keys() - set(TIMES):
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for values in zip(one, other, strict=True):
            assert_same(*values)
    else:
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
