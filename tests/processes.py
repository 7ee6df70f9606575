"""Processes seen from outside: whether they have begun, who belongs to them, and how they end."""

import re
import signal
import time
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

STOPPED = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}  # a program's status by signal


def await_beginning(process: BaseProcess) -> None:
    """Wait until a program acts on SIGTERM by itself, which it does from its first step on, or has ended."""
    while process.is_alive():
        state = Path(f"/proc/{process.pid}/status").read_text()
        if int(re.search(r"SigCgt:\s*(\w+)", state)[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.001)


def session_members(session: int) -> list[int]:
    """The processes of a session that have not ended."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, _, _, its_session = stat.read_bytes().rpartition(b")")[2].split()[:4]
            members += [int(stat.parent.name)] if int(its_session) == session and state != b"Z" else []
    return members


def await_end(session: int, seconds: float = 60) -> None:
    """Wait until all processes of a session have ended, those that nobody waits for as well; fails if one does not."""
    deadline = time.monotonic() + seconds
    while members := session_members(session):
        assert time.monotonic() < deadline, f"processes {members} of session {session} have not ended"
        time.sleep(0.01)
