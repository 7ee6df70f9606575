"""Programs run by tests: in this process, or as processes that share one import of torch. All are there at once."""

import json
import multiprocessing
import os
import random
import runpy
import shlex
import signal
import socket
import socketserver
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.reduction import DupFd
from operator import methodcaller
from pathlib import Path
from typing import Any, NamedTuple

import torch

from itersep.separate.command import main as separate_recordings
from itersep.system.signals import end_with_parent

ROOT = Path(__file__).resolve().parent.parent
TRAIN = ROOT / "utils/train.py"
TIMES = ("seconds", "data_wait_s", "mixtures_per_s", "peak_memory_mib")


@cache
def warm_server() -> ForkServerContext:
    """The server that programs are forked from, when it has come up.

    It ends with the thread that calls this first, and like its programs does not hear the signals blocked there then.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.warm"])
    first = context.Process()
    first.start()
    first.join()
    return context


class Ended(NamedTuple):
    """How a program ended."""

    status: int
    out: str
    err: str


def run_here(program: str | Path, *options: object) -> int:
    """Run a program in this process: its file, or itersep-separate; its exit status."""
    before, sys.argv = sys.argv, [str(program), *map(str, options)]
    try:
        separate_recordings() if program == "itersep-separate" else runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        return ended.code
    finally:
        sys.argv = before
    raise AssertionError(f"{program} did not exit by itself")


def start(
    program: str | Path, *options: object, output: Path, folder: Path | None = None, **environment: object
) -> ForkServerProcess:
    """Start a program in a process and session of its own, its output and errors in a file; ``folder`` is its own."""
    variables = os.environ | {name: str(value) for name, value in environment.items()}
    with open(output, "w") as file:
        return _launch([str(program), *map(str, options)], folder or Path.cwd(), variables, [file.fileno()] * 2)


def _launch(
    command: list[str], folder: str | Path, environment: Mapping[str, str], streams: Sequence[int]
) -> ForkServerProcess:
    """Start a program; ``streams`` are its output and its errors."""
    process = warm_server().Process(target=_run, args=(command, str(folder), dict(environment), *map(_Stream, streams)))
    process.start()
    return process


class _Stream(NamedTuple):
    """A file descriptor, which becomes that of the process that it is sent to."""

    number: int

    def __reduce__(self) -> tuple[Any, ...]:
        return methodcaller("detach"), (DupFd(self.number),)


def _run(command: list[str], folder: str, environment: dict[str, str], out: int, err: int) -> None:
    os.setsid()
    end_with_parent(signal.SIGKILL)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = command
    sys.path.insert(0, str(Path(command[0]).resolve().parent))
    try:
        runpy.run_path(command[0], run_name="__main__")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # the program has ended


class _Asked(socketserver.BaseRequestHandler):
    """What tests/ask.py asks for: a program, run with the folder, the environment and the output of who asks."""

    def handle(self) -> None:
        _, streams, *_ = socket.recv_fds(self.request, 1, 2)
        with self.request.makefile("rb") as lines:
            asked = json.load(lines)
        process = _launch(streams=streams, **asked)
        for stream in streams:
            os.close(stream)
        process.join()
        self.request.sendall(str(process.exitcode).encode())


@contextmanager
def serve_programs() -> Iterator[str]:
    """While this lasts, a program that has this text can stand in the place of `python`, for shell scripts to call."""
    warm_server()
    with tempfile.TemporaryDirectory() as folder:
        address = f"{folder}/programs"
        with socketserver.ThreadingUnixStreamServer(address, _Asked) as server:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
            words = (sys.executable, "-IS", ROOT / "tests/ask.py", address)
            yield f'#!/bin/sh\nexec {shlex.join(map(str, words))} "$@"\n'
            server.shutdown()


def find_meeting() -> dict[str, object]:
    """Where processes that train together are to meet, as variables of their environment: a free port.

    It is below those that the system gives out, so that it is still free when they have started.
    """
    while True:
        port = random.SystemRandom().randrange(10000, 30000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}


def start_pair(*options: object, output: Path) -> list[ForkServerProcess]:
    """Start two training processes that train together, as torchrun does; output in <output>0 and <output>1."""
    meeting = find_meeting()
    return [
        start(TRAIN, *options, output=Path(f"{output}{rank}"), RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, **meeting)
        for rank in (0, 1)
    ]


def end(processes: Sequence[ForkServerProcess], timeout: float = 300) -> list[int | None]:
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


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by its name below it."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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
