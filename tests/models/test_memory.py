"""Memory over iterations: the bytes that autograd keeps for the backward pass, counted as they come and go."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from itersep.losses.objective import Objective
from itersep.models.blocks.dprnn import DPRNNSpec
from itersep.models.filterbank import FilterbankSpec
from itersep.models.iterative import IterativeSeparator
from itersep.models.separator import SeparatorSpec

SMALL = DPRNNSpec(features=8, hidden=12, chunk=8)


class Ledger:
    """Bytes of all storages that saved tensors hold, now and at most."""

    def __init__(self) -> None:
        self.users: dict[int, int] = {}
        self.now = self.peak = 0

    @contextmanager
    def watch(self) -> Iterator[None]:
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: Saved(tensor, self), lambda saved: saved.tensor):
            yield


class Saved:
    """A saved tensor that tells its ledger when it comes and when autograd lets it go."""

    def __init__(self, tensor: torch.Tensor, ledger: Ledger) -> None:
        self.tensor, self.ledger = tensor, ledger
        storage = tensor.untyped_storage()
        self.key, self.size = storage.data_ptr(), storage.nbytes()
        if not ledger.users.get(self.key):
            ledger.now += self.size
            ledger.peak = max(ledger.peak, ledger.now)
        ledger.users[self.key] = ledger.users.get(self.key, 0) + 1

    def __del__(self) -> None:
        self.ledger.users[self.key] -= 1
        if not self.ledger.users[self.key]:
            self.ledger.now -= self.size


def train_once(objective: Objective, **options: object) -> tuple[float, torch.Tensor]:
    """One backward pass as the trainer makes it: peak of what is kept, and the gradients."""
    torch.manual_seed(0)
    model = IterativeSeparator(FilterbankSpec("stft", 17, 32, 16), SeparatorSpec(1, 1), **options).double()
    mix, ref = torch.randn(2, 4000, dtype=torch.float64), torch.randn(2, 2, 4000, dtype=torch.float64)
    ledger, kept = Ledger(), []
    with ledger.watch():
        for loss, _ in objective.terms(model, mix, ref):
            if model.detach:
                loss.backward()
            else:
                kept.append(loss)
    if kept:
        sum(kept).backward()
    return ledger.peak, torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("layerwise", [False, True])
@pytest.mark.parametrize("oracle_bias", [False, True])
def test_memory_stays_flat_over_detached_iterations(layerwise: bool, oracle_bias: bool) -> None:
    objective = Objective(layerwise, oracle_bias)
    one, three = (train_once(objective, dprnn=SMALL, iterations=i, detach=True)[0] for i in (1, 3))
    assert three <= 1.1 * one


def test_without_detach_memory_grows_and_recomputing_takes_half_of_the_growth() -> None:
    growth = {}
    for recompute in (False, True):
        options = {"dprnn": replace(SMALL, recompute=recompute), "detach": False}
        one, three = (train_once(Objective(), iterations=i, **options)[0] for i in (1, 3))
        growth[recompute] = three - one
    assert growth[False] > 0
    assert growth[True] <= 0.5 * growth[False]


@pytest.mark.parametrize("detach", [False, True])
def test_recomputing_changes_no_gradient(detach: bool) -> None:
    plain, recomputed = (
        train_once(Objective(), dprnn=replace(SMALL, recompute=r), iterations=2, detach=detach)[1]
        for r in (False, True)
    )
    torch.testing.assert_close(recomputed, plain, rtol=0, atol=0)
