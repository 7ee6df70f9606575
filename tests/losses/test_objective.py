from collections.abc import Iterator
from itertools import permutations

import pytest
import torch

from itersep.losses.objective import Objective
from itersep.losses.pit import pit
from itersep.losses.sdr import snr
from itersep.models.blocks.dprnn import DPRNNSpec
from itersep.models.filterbank import FilterbankSpec
from itersep.models.iterative import Carried, IterativeSeparator


def setting(**options: object) -> tuple[IterativeSeparator, torch.Tensor, torch.Tensor]:
    sizes = DPRNNSpec(features=6, hidden=5, chunk=8)
    model = IterativeSeparator(FilterbankSpec("learned", 12, 8, 4), dprnn=sizes, **options)
    ref = torch.randn(3, 2, 400)
    return model, ref.sum(1), ref


@pytest.mark.parametrize("iterations", [None, 1, 4])
def test_objective_is_the_mean_negative_snr_over_iterations(iterations: int | None) -> None:
    model, mix, ref = setting(iterations=3)
    terms = list(Objective().terms(model, mix, ref, iterations))
    outputs = [estimates[-1] for estimates in model.iterate(mix, iterations)]
    expected = -sum(pit(snr, est, ref)[0].mean() for est in outputs) / (iterations or 3)
    torch.testing.assert_close(sum(loss for loss, _ in terms), expected)
    for (_, est), output in zip(terms, outputs, strict=True):
        torch.testing.assert_close(est, output)


def test_layerwise_scores_every_siso_layer() -> None:
    model, mix, ref = setting(iterations=2)
    total = sum(loss for loss, _ in Objective(layerwise=True).terms(model, mix, ref))
    layers = [est for estimates in model.iterate(mix, layerwise=True) for est in estimates]
    assert len(layers) == 4
    torch.testing.assert_close(total, -sum(pit(snr, est, ref)[0].mean() for est in layers) / 4)


def test_oracle_bias_adds_one_pass_in_the_order_of_the_targets() -> None:
    model, mix, ref = setting(iterations=2)
    plain = list(Objective().terms(model, mix, ref))
    terms = list(Objective(oracle_bias=True).terms(model, mix, ref))
    assert len(terms) == len(plain) + 1
    est = model.separate_once(mix, Carried(ref), 1)[0][-1]
    torch.testing.assert_close(terms[-1][0], -snr(est, ref).mean())
    for (loss, _), (expected, _) in zip(terms, plain, strict=False):
        torch.testing.assert_close(loss, expected)


def test_oracle_bias_goes_through_the_last_simo_part_and_all_scored_layers() -> None:
    model, mix, ref = setting(iterations=2, share_simo=False)
    *_, (loss, _) = Objective(layerwise=True, oracle_bias=True).terms(model, mix, ref)
    layers, _ = model.separate_once(mix, Carried(ref), 1, layerwise=True)
    torch.testing.assert_close(loss, -sum(snr(est, ref).mean() for est in layers) / 2)


class Given:
    """Yields the outputs that it was given, as a network's iterations."""

    def __init__(self, outputs: torch.Tensor) -> None:
        self.outputs, self.iterations = outputs, len(outputs)

    def iterate(self, mix: torch.Tensor, iterations: int, layerwise: bool) -> Iterator[list[torch.Tensor]]:
        yield from ([est] for est in self.outputs[:iterations])


def test_common_order_is_the_best_for_all_iterations_together() -> None:
    ref = torch.randn(4, 3, 50)
    outputs = torch.stack([ref[:, torch.randperm(3)] + level * torch.randn(4, 3, 50) for level in (1.0, 0.3, 2.0)])
    terms = list(Objective(order="common").terms(Given(outputs), ref.sum(1), ref))
    totals = [snr(outputs[:, :, list(order)], ref).mean(-1) for order in permutations(range(3))]  # each (3, B)
    best = torch.stack(totals).mean(1).amax(0)
    torch.testing.assert_close(sum(loss for loss, _ in terms), -best.mean())
    own = sum(loss for loss, _ in Objective().terms(Given(outputs), ref.sum(1), ref))
    assert own < sum(loss for loss, _ in terms) - 0.1


def test_common_order_of_a_single_output_is_its_own() -> None:
    model, mix, ref = setting()
    (common, _), (own, _) = (next(Objective(order=order).terms(model, mix, ref)) for order in ("common", "own"))
    torch.testing.assert_close(common, own)


@pytest.mark.parametrize("options", [{}, {"layerwise": True}, {"oracle_bias": True}, {"order": "common"}])
def test_terms_as_they_come_have_the_gradients_of_their_sum(options: dict) -> None:
    model, mix, ref = setting(iterations=3)
    objective = Objective(**options)
    for loss, _ in objective.terms(model, mix, ref):
        loss.backward()
    as_they_come = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    sum(loss for loss, _ in objective.terms(model, mix, ref)).backward()
    for got, parameter in zip(as_they_come, model.parameters(), strict=True):
        torch.testing.assert_close(got, parameter.grad, atol=1e-4, rtol=1e-4)


def test_a_few_steps_lower_it() -> None:
    model, mix, ref = setting(iterations=2)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    values = []
    for _ in range(30):
        optimizer.zero_grad()
        total = sum(loss for loss, _ in Objective().terms(model, mix, ref))
        total.backward()
        optimizer.step()
        values.append(total.item())
    assert values[-1] < values[0] - 1
