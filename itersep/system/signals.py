"""Signals that ask a process to end: made exceptions, held back for a moment, and sent on when a parent is killed."""

import ctypes
import faulthandler
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from itersep.system.errors import Terminated


@contextmanager
def stoppable() -> Iterator[None]:
    """Inside, SIGTERM raises Terminated, as Ctrl-C raises KeyboardInterrupt: files written aside are removed by it.

    Neither passes through a library that calls back into Python, such as a compiler. What is lost there is raised again
    a little later.
    """
    use_signal_stack()
    lost: list[type[BaseException]] = []

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    def raise_again(number: int, frame: FrameType | None) -> None:
        raise lost.pop()

    def notice(ignored: "sys.UnraisableHookArgs") -> None:
        if issubclass(ignored.exc_type, (Terminated, KeyboardInterrupt)):
            lost.append(ignored.exc_type)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
        else:
            hook(ignored)

    handlers = {signal.SIGTERM: terminate, signal.SIGALRM: raise_again}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    hook, sys.unraisablehook = sys.unraisablehook, notice
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def use_signal_stack() -> None:
    """Have the signals of the main thread, and of processes forked from it, handled on a stack of their own.

    oneDNN's matrix products for AVX-512 (torch 2.11) point the stack at their workspace on the heap while they run. A
    signal that comes then has its frame written in front of that workspace, over what others keep there: the process
    crashes, or goes on with wrong numbers. Python's handlers take another stack where there is one, and faulthandler,
    which says where a process crashed, makes one.
    """
    if not faulthandler.is_enabled() and sys.__stderr__ is not None:
        faulthandler.enable(sys.__stderr__)


@contextmanager
def held_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM that come inside are acted on at its end; a process started inside is deaf to them."""
    if threading.current_thread() is not threading.main_thread():  # where nothing is ever raised
        yield
        return
    numbers, came = (signal.SIGINT, signal.SIGTERM), []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in numbers}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)  # of this thread, and of what it starts
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)


def end_with_parent(number: int) -> None:
    """From now on, this process gets signal ``number`` when the one that started it ends; on Linux alone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, number)  # PR_SET_PDEATHSIG
