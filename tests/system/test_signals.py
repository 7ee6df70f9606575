"""The stack that signals are handled on."""

import subprocess
import sys

import pytest

from tests.runs import ROOT

ASK = """
import ctypes, os, signal
from itersep.system.signals import use_signal_stack

class Stack(ctypes.Structure):
    _fields_ = [("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]

def ask():
    stack = Stack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    return stack

def takes_the_frame(stack):
    before = ctypes.string_at(stack.start, stack.size)
    signal.raise_signal(signal.SIGUSR1)
    return ctypes.string_at(stack.start, stack.size) != before

DISABLED, came = 2, []
signal.signal(signal.SIGUSR1, lambda *_: came.append(0))
assert ask().flags == DISABLED
use_signal_stack()
stack = ask()
assert stack.flags == 0 and takes_the_frame(stack) and came
child = os.fork()
if not child:
    os._exit(0 if takes_the_frame(ask()) else 3)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_a_handlers_frame_lies_on_the_signal_stack() -> None:
    """Of a signal that comes to the main thread, and in a process that is forked from there."""
    done = subprocess.run([sys.executable, "-c", ASK], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
