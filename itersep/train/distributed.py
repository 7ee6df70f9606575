"""Several processes that train one model, as torchrun starts them: who each is, and the sums that they share.

Each takes its part of a batch; the gradients of all parts are added up in one message a step, and from there on every
process does the same to the same weights. No wrapper around the model is needed: the objective may call backward as
often as it likes, and leave parameters out. One process alone is a world of one, in which nothing is sent.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from itersep.system.cli import one_line

Item = TypeVar("Item")

TIMEOUT = timedelta(
    minutes=10
)  # more than processes have to wait for each other: a checkpoint, a slow disk, compilation


@dataclass(frozen=True)
class World:
    """One of ``size`` processes that train together: its number among all, and among those of its machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files and speaks for all."""
        return self.rank == 0

    def deal(self, items: Sequence[Item]) -> Sequence[Item]:
        """This process's share of what is dealt out to all, in turn."""
        return items[self.rank :: self.size]

    def sum(self, values: Tensor) -> Tensor:
        """The sum of a vector over all processes, in place. Raises OSError if one of them is gone."""
        if self.size > 1:
            try:
                distributed.all_reduce(values)
            except RuntimeError as error:
                raise OSError(
                    f"another training process ended or cannot be reached ({one_line(error)}); the same command goes "
                    "on from the last checkpoint"
                ) from None
        return values

    def gather(self, values: Sequence[float]) -> Tensor:
        """A few numbers of each process: (size, len(values)), in double precision."""
        table = torch.zeros(self.size, len(values), dtype=torch.float64)
        table[self.rank] = torch.tensor(values, dtype=torch.float64)
        return self.sum(table)

    def wait(self) -> None:
        """Wait until all processes have come here."""
        self.gather([0.0])

    def sum_gradients(self, parameters: Iterable[nn.Parameter], *values: float) -> list[float]:
        """Add up the gradients, in place, and ``values``, which are returned, over all processes in one message.

        A parameter without a gradient has none in any process, and is left without one: zeros would move it by the
        optimizer's momentum.
        """
        if self.size == 1:
            return list(values)
        parameters = list(parameters)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        message = torch.cat([*(gradient.flatten() for gradient in gradients), gradients[0].new_tensor(values)])
        self.sum(message)
        *sums, values = message.split([*(p.numel() for p in parameters), len(values)])
        for gradient, total in zip(gradients, sums, strict=True):
            gradient.copy_(total.view_as(gradient))
        return values.tolist()


ALONE = World()


def choose_backend() -> str:
    """What carries messages: gloo for numbers of the CPU and, where there are GPUs, nccl for theirs."""
    return "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"


@contextmanager
def join_world() -> Iterator[World]:
    """Meet the other processes that torchrun started, if it did. Raises OSError if they are not found."""
    rank, size, local_rank = (
        int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))
    )
    if size == 1:
        yield ALONE
        return
    # The default arguments of its functions hold the group of the moment it is imported for good, and optimizers import
    # it: before there is a group, it holds none, and the group's threads end with the group. Where they live on, one
    # may still let go of a tensor while Python ends, which aborts the process.
    import torch.distributed.nn.functional  # noqa: F401

    try:
        distributed.init_process_group(choose_backend(), timeout=TIMEOUT)
    except (RuntimeError, ValueError) as error:
        raise OSError(f"the training processes do not find each other ({one_line(error)})") from None
    try:
        yield World(rank, size, local_rank)
    finally:
        distributed.destroy_process_group()
