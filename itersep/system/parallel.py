"""Work shared by processes that end when they should: when it is done, at Ctrl-C, and when their parent is killed."""

import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.resource_tracker import ensure_running
from typing import TypeVar

from itersep.system.errors import Terminated, UserError
from itersep.system.signals import end_with_parent, held_signals, stoppable

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_parallel(function: Callable[[Item], Result], items: Sequence[Item], nj: int) -> Iterator[Result]:
    """Yield ``function(item)`` for every item, in the order in which ``nj`` processes finish them.

    The items are dealt out beforehand, and a process has a pipe of its own, so that none waits for one that is gone.
    Ctrl-C and SIGTERM are the parent's to act on: it ends its processes at once, and they end if it is killed. A
    UserError or OSError in one ends all and is raised here; ``nj`` 1 works in this process. ``function`` and items must
    be picklable.
    """
    nj = min(nj, len(items))
    if nj <= 1:
        yield from map(function, items)
        return
    context = get_context("spawn")  # a forked child may hang in libraries whose threads it does not inherit
    ensure_running()  # multiprocessing's own helper; starting it lets through the signals that are held below
    processes: dict[Connection, BaseProcess] = {}
    shares: dict[Connection, Sequence[Item]] = {}  # of the processes that have not got theirs yet
    try:
        for k in range(nj):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs,), daemon=True)
            with held_signals():
                process.start()
                processes[ours], shares[ours] = process, items[k::nj]
            theirs.close()
        yield from _collect(function, shares)
    finally:
        for connection, process in processes.items():
            if connection in shares:  # it has begun nothing, and does not hear SIGTERM yet
                process.kill()
            else:
                process.terminate()
        for process in processes.values():
            process.join()


def take_part(items: Sequence[Item], part: str) -> Sequence[Item]:
    """The share of one of N tasks that work side by side, ``part`` "I/N": every N-th item from the I-th on; "": all.

    Raises UserError if ``part`` says something else.
    """
    if not part:
        return items
    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", part)
    if not match or int(match[1]) > int(match[2]):
        raise UserError(f"--part is I/N with I from 1 to N, such as 3/16, not '{part}'")
    return items[int(match[1]) - 1 :: int(match[2])]


def _collect(function: Callable[[Item], Result], shares: dict[Connection, Sequence[Item]]) -> Iterator[Result]:
    """Hand out the shares as the processes come up, and yield their results until all have ended."""
    connections = list(shares)
    while connections:
        for connection in wait(connections):
            try:
                kind, value = connection.recv()
                if kind == "ready":
                    connection.send((function, shares.pop(connection)))
            except (EOFError, ConnectionError):
                raise OSError("a worker process died; see above, or try a smaller --nj if memory ran out") from None
            if kind == "error":
                raise value
            if kind == "end":
                connections.remove(connection)
            if kind == "result":
                yield value


def _work(connection: Connection) -> None:
    try:
        with stoppable():
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            end_with_parent(signal.SIGTERM)
            last = _send_results(connection)
    except Terminated:
        sys.exit(143)
    with suppress(ConnectionError):  # the parent is gone
        connection.send(last)


def _send_results(connection: Connection) -> tuple[str, Exception | None]:
    """Ask for a share, and send a result for each item; returns what there is to say last."""
    try:
        connection.send(("ready", None))
        try:
            function, items = connection.recv()
        except EOFError:  # the parent is gone
            return "end", None
        for item in items:
            connection.send(("result", function(item)))
    except (UserError, OSError) as error:
        return "error", error
    return "end", None
