"""What the machine offers: device, precision, memory; and signals that ask a run to end."""

import ctypes
import resource
import signal
import time
from contextlib import AbstractContextManager
from types import FrameType
from typing import NoReturn

import torch

from itersep.system.errors import Terminated, UserError
from itersep.system.signals import end_with_parent


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """cpu, cuda, or auto; of several GPUs, that of a process's number on its machine.

    On a GPU fp32 is fp32 from then on, in convolutions and LSTMs too, which torch would compute with 10 bits (TF32).
    Raises UserError where cuda is asked for and there is none, or none for this process.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device is cuda, but torch finds no CUDA device here; use auto or cpu")
    if name == "cuda" and local_rank >= torch.cuda.device_count():
        raise UserError(
            f"torch finds {torch.cuda.device_count()} CUDA devices here, none for process {local_rank + 1} of this "
            "machine; start fewer, or set device to cpu"
        )
    if name == "cpu":
        return torch.device(name)
    torch.backends.cudnn.allow_tf32 = False
    return torch.device(name, local_rank)


def use_bf16(precision: str, device: torch.device) -> bool:
    """Whether to autocast to bfloat16: as asked, or for `auto` where the hardware has units for it.

    Raises UserError where it is asked for and torch cannot do it here, as on processors without AVX-512.
    """
    if precision == "bf16" and not can_use_bf16(device):
        raise UserError("train.precision is bf16, which torch's LSTM cannot do on this processor; use auto or fp32")
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


def can_use_bf16(device: torch.device) -> bool:
    """Whether an LSTM runs in bfloat16: seen by running the smallest."""
    try:
        with autocast(device, True), torch.no_grad():
            torch.nn.LSTM(1, 1, device=device)(torch.zeros(1, 1, 1, device=device))
    except RuntimeError:
        return False
    return True


def autocast(device: torch.device, bf16: bool) -> AbstractContextManager:
    """Autocast to bfloat16, or nothing."""
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)


def peak_memory_mib(device: torch.device) -> float:
    """Highest memory so far: of the process on the CPU, of torch's allocator on CUDA."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def keep_freed_memory() -> None:
    """Have the C library keep what this process frees for its next allocation. Elsewhere than on Linux: nothing.

    As glibc starts, large blocks go back to the kernel when they are freed, and come as new zeroed pages for every
    activation of every training step; on a CPU these page faults can take as long as the arithmetic
    (docs/performance.md).
    """
    mmap_max, trim_threshold = -4, -1  # of malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, -1)


class StopSignals:
    """Turns SIGTERM and Ctrl-C into a question that a loop asks when its state is whole.

    A second Ctrl-C does not wait for the loop, if it comes late enough to be meant: launchers pass on a signal that the
    processes have had already, and clusters repeat theirs before they kill.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._since = 0.0

    def __enter__(self) -> "StopSignals":
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def end(self) -> NoReturn:
        """Raise what the signal stands for; SIGTERM if it was another process that received one."""
        raise KeyboardInterrupt if self.received == signal.SIGINT else Terminated

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.received is None:
            self.received, self._since = number, now
        elif number == signal.SIGINT and now - self._since > 1.0:
            raise KeyboardInterrupt


def leave_signals_to_parent(worker: int = 0) -> None:
    """For worker processes: terminals and clusters signal the whole group, but it is the parent whose end ends them."""
    end_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
