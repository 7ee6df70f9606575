"""An end to the iterations where another one changes nothing."""

import torch
from torch import Tensor

from itersep.models.iterative import IterativeSeparator

EARLIEST_END = 2  # iterations; it takes two to see a change


def change_db(est: Tensor, before: Tensor) -> Tensor:
    """How much estimates changed in an iteration: (..., C, T) -> (...), 10 log10(|est - before|^2 / |est|^2).

    All speakers together, so that one who is silent does not keep the others going. It is what an iteration did, told
    without the references: the change is the difference of the errors before and after, so where it is 20 dB below
    estimates whose error is 10 dB below them, the error can have fallen by at most 20 log10(1 + 10^-0.5), 2.4 dB, or
    risen by -20 log10(1 - 10^-0.5), 3.3 dB. No change at all is minus infinity.
    """
    power, change = (x.double().square().sum((-1, -2)) for x in (est, est - before))
    return torch.where(change == 0, -torch.inf, 10 * torch.log10(change / power))


def iterate_until(
    network: IterativeSeparator, mix: Tensor, iterations: int, until_change_db: float | None = None
) -> tuple[Tensor, int]:
    """The last estimates (B, C, T) of mixtures (B, T), and the number of iterations that it took.

    Iterations end where `change_db` of every mixture is below ``until_change_db``, and after ``iterations``.
    """
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, not {iterations}")
    before, used = None, 0
    for layers in network.iterate(mix, iterations):
        used += 1
        est = layers[-1]
        if until_change_db is not None and before is not None and (change_db(est, before) < until_change_db).all():
            break
        before = est
    return est, used
