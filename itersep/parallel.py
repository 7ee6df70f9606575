"""Work shared by processes that end when they should: when it is done, at Ctrl-C, and when their parent is killed."""

import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import TypeVar

from itersep.errors import Terminated, UserError

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_parallel(function: Callable[[Item], Result], items: Sequence[Item], nj: int) -> Iterator[Result]:
    """Yield ``function(item)`` for every item, in the order in which ``nj`` processes finish them.

    The items are dealt out beforehand, and a process has a pipe of its own, so that none waits for one that is gone:
    if the parent is killed, the processes end after the item they are at. A UserError or OSError in one ends all and
    is raised here; ``nj`` 1 works in this process. ``function`` and items must be picklable.
    """
    nj = min(nj, len(items))
    if nj <= 1:
        yield from map(function, items)
        return
    context = get_context("spawn")  # a forked child may hang in libraries whose threads it does not inherit
    readers, processes = [], []
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: at Ctrl-C the parent alone acts
    try:
        for k in range(nj):
            reader, writer = context.Pipe(duplex=False)
            processes.append(context.Process(target=_work, args=(function, items[k::nj], writer), daemon=True))
            processes[-1].start()
            writer.close()
            readers.append(reader)
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        yield from _collect(readers)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
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


def _collect(readers: list[Connection]) -> Iterator[Result]:
    while readers:
        for reader in wait(readers):
            try:
                kind, value = reader.recv()
            except EOFError:
                raise OSError("a worker process died; see above, or try a smaller --nj if memory ran out") from None
            if kind == "error":
                raise value
            if kind == "end":
                readers.remove(reader)
            else:
                yield value


def _work(function: Callable[[Item], Result], items: Sequence[Item], results: Connection) -> None:
    try:
        signal.signal(signal.SIGTERM, _terminate)
        signal.signal(signal.SIGALRM, _terminate)
        sys.unraisablehook = _terminate_soon
        last = _send_results(function, items, results)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # from here on this process ends by itself
    except Terminated:
        sys.exit(143)
    with suppress(BrokenPipeError):  # the parent is gone
        results.send(last)


def _send_results(
    function: Callable[[Item], Result], items: Sequence[Item], results: Connection
) -> tuple[str, Exception | None]:
    """Send a result for each item; returns what there is to say last."""
    try:
        for item in items:
            results.send(("result", function(item)))
    except (UserError, OSError) as error:
        return "error", error
    return "end", None


def _terminate(*_: object) -> None:
    raise Terminated  # unwinds, so that files written aside are removed


def _terminate_soon(ignored: "sys.UnraisableHookArgs") -> None:
    """A signal that came while the compiler called back into Python was lost: exceptions do not pass through there."""
    if isinstance(ignored.exc_value, Terminated):
        signal.setitimer(signal.ITIMER_REAL, 0.1)
    else:
        sys.__unraisablehook__(ignored)
