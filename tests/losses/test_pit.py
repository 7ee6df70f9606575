from itertools import permutations

import pytest
import torch

from itersep.losses import pit as pit_module
from itersep.losses.pit import best_permutation, pairwise, permute, pit
from itersep.losses.sdr import snr


@pytest.mark.parametrize("sources", [1, 2, 3, 4, 5])
def test_every_order_is_put_back(sources: int) -> None:
    ref = torch.randn(1, sources, 200)
    noisy = ref + 0.1 * torch.randn_like(ref)
    expected = snr(noisy, ref).mean(-1)
    for order in permutations(range(sources)):
        est = noisy[:, list(order)]
        value, perm = pit(snr, est, ref)
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(permute(est, perm), noisy)


@pytest.mark.parametrize("sources", [2, 3, 4, 5])
def test_no_order_scores_higher(sources: int) -> None:
    est, ref = torch.randn(2, 4, sources, 50)
    value, _ = pit(snr, est, ref)
    orders = [snr(est[:, list(order)], ref).mean(-1) for order in permutations(range(sources))]
    torch.testing.assert_close(value, torch.stack(orders).max(0).values)


def test_hungarian_and_exhaustive_search_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = torch.randn(50, 3, 3)
    exhaustive = best_permutation(scores)
    monkeypatch.setattr(pit_module, "EXHAUSTIVE_UP_TO", 0)
    assert (best_permutation(scores) == exhaustive).all()


def test_pairwise_has_estimates_in_rows_and_references_in_columns() -> None:
    est, ref = torch.randn(2, 3, 2, 100)
    scores = pairwise(snr, est, ref)
    for b, i, j in ((0, 0, 1), (2, 1, 0), (1, 1, 1)):
        torch.testing.assert_close(scores[b, i, j], snr(est[b, i], ref[b, j]))


def test_examples_choose_their_orders_on_their_own() -> None:
    ref = torch.randn(2, 2, 100)
    est = torch.stack([ref[0], ref[1].flip(0)])
    assert pit(snr, est, ref)[1].tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("sources", [2, 5])
def test_gradient_is_that_of_the_chosen_order(sources: int) -> None:
    ref = torch.randn(1, sources, 100)
    est = (ref.flip(1) + 0.1).requires_grad_()
    (through_pit,) = torch.autograd.grad(pit(snr, est, ref)[0].sum(), est)
    (direct,) = torch.autograd.grad(snr(est.flip(1), ref).mean(-1).sum(), est)
    torch.testing.assert_close(through_pit, direct)


@pytest.mark.parametrize("sources", [2, 3, 4, 5])
def test_a_score_that_is_no_number_stays_one(sources: int) -> None:
    """So that a step with such a loss can be left out."""
    est, ref = torch.randn(1, sources, 50), torch.randn(1, sources, 50)
    est[0, 1, 7] = torch.nan
    score, perm = pit(snr, est, ref)
    assert torch.isnan(score).all() and sorted(perm[0].tolist()) == list(range(sources))
