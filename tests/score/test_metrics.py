"""Laws of the metrics, of the assignment, and of the intervals."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from itersep.losses.sdr import si_sdr
from itersep.score.metrics import assign, leak_db, mean_interval, sdr_db, si_sdr_db


def noisy(ref: torch.Tensor, snr_db: float) -> torch.Tensor:
    """ref plus noise orthogonal to it at this SNR."""
    noise = torch.randn(ref.shape, dtype=ref.dtype)
    noise -= (noise * ref).sum(-1, keepdim=True) / ref.square().sum(-1, keepdim=True) * ref
    return ref + noise * ref.norm(dim=-1, keepdim=True) / noise.norm(dim=-1, keepdim=True) * 10 ** (-snr_db / 20)


@pytest.mark.parametrize("snr_db", [-20.0, 0.0, 12.5, 40.0])
def test_si_sdr_is_the_snr_of_orthogonal_noise(snr_db: float) -> None:
    ref = torch.randn(3, 8000, dtype=torch.float64)
    assert torch.allclose(si_sdr_db(noisy(ref, snr_db), ref), torch.full((3,), snr_db, dtype=torch.float64), atol=1e-6)


@pytest.mark.parametrize("snr_db", [-20.0, 0.0, 12.5, 40.0])
def test_the_training_si_sdr_agrees_with_torchmetrics(snr_db: float) -> None:
    ref = torch.randn(3, 8000)
    est = -0.3 * noisy(ref, snr_db)
    assert torch.allclose(si_sdr(est, ref).double(), si_sdr_db(est, ref), atol=2e-3)


@pytest.mark.parametrize("metric", [si_sdr_db, sdr_db])
@pytest.mark.parametrize("factor", [1e-3, -0.5, 7.0])
def test_metrics_do_not_hear_the_level_of_estimates(metric, factor: float) -> None:
    ref = torch.randn(2, 6000)
    est = noisy(ref, 5.0)
    assert torch.allclose(metric(factor * est, ref), metric(est, ref), atol=1e-3)


def test_sdr_forgives_a_filter_that_si_sdr_does_not() -> None:
    ref = torch.randn(6000, dtype=torch.float64)
    taps = torch.randn(300, dtype=torch.float64) * torch.exp(-torch.arange(300) / 40)
    est = torch.nn.functional.conv1d(ref[None, None], taps.flip(0)[None, None], padding=299)[0, 0, :6000]
    assert si_sdr_db(est, ref) < 10 < 20 < sdr_db(est, ref)


def test_sdr_is_never_below_si_sdr() -> None:
    ref = torch.randn(8, 4000)
    est = torch.stack([noisy(r, snr) for r, snr in zip(ref, range(-15, 25, 5), strict=True)])
    assert (sdr_db(est, ref) >= si_sdr_db(est, ref)).all()


def test_sdr_of_unrelated_signals_is_finite() -> None:
    est, ref = torch.zeros(2, 4000)
    est[10], ref[3000] = 1.0, 1.0  # est comes before ref: no causal filter makes one of the other
    assert sdr_db(est, ref) == -100.0


@pytest.mark.parametrize("metric", [si_sdr_db, sdr_db])
def test_a_silent_signal_has_no_ratio(metric) -> None:
    heard, silent = torch.randn(2000), torch.zeros(2000)
    pairs = [(heard, silent), (silent, heard), (silent, silent), (heard, heard)]
    values = metric(torch.stack([est for est, _ in pairs]), torch.stack([ref for _, ref in pairs]))
    assert values.isnan().tolist() == [True, True, True, False]


@pytest.mark.parametrize("sources", [2, 3, 4])
def test_assignment_undoes_every_permutation(sources: int) -> None:
    ref = torch.randn(sources, 1000)
    est = noisy(ref, 3.0)
    for order in itertools.permutations(range(sources)):
        shuffled = est[list(order)]
        assert torch.equal(shuffled[assign(shuffled, ref)], est)


def test_a_silent_reference_leaves_the_assignment_to_the_others() -> None:
    ref = torch.randn(3, 1000)
    est = noisy(ref, 3.0)
    ref[1] = 0
    assert assign(est[[2, 0, 1]], ref).tolist() == [1, 2, 0]


def test_a_silent_estimate_is_not_assigned_to_an_active_speaker() -> None:
    ref = torch.stack([torch.randn(1000), torch.zeros(1000)])
    poor = noisy(ref[:1], -20.0)[0]
    assert assign(torch.stack([torch.zeros(1000), poor]), ref).tolist() == [1, 0]


def test_leak_is_the_level_over_the_active_estimates_at_any_gain() -> None:
    est = torch.nn.functional.normalize(torch.randn(4, 1000, dtype=torch.float64))
    est *= torch.tensor([[3.0], [1.0], [0.1], [0.0]])
    active = torch.tensor([True, True, False, False])
    leaks = leak_db(est, active)
    assert leaks[2:].tolist() == [pytest.approx(10 * math.log10(0.01 / 5)), -100.0]  # mean energy of the active: 5
    assert torch.allclose(leak_db(-7 * est, active), leaks)
    assert leak_db(est, ~torch.ones_like(active)).isnan().all()
    assert leak_db(est, active.flip(0))[0] == pytest.approx(10 * math.log10(9 / 0.005))


def test_interval_is_students() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 12)
    low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    mean = mean_interval(values)
    assert (mean.mean, mean.low, mean.high) == pytest.approx((values.mean(), low, high))


def test_interval_covers_the_truth_in_95_of_100_cases() -> None:
    draws = np.random.default_rng(0).normal(3.0, 2.0, (4000, 5))
    covered = [mean.low <= 3.0 <= mean.high for mean in map(mean_interval, draws)]
    assert math.isclose(np.mean(covered), 0.95, abs_tol=0.01)


def test_without_values_there_is_no_mean_and_with_one_no_interval() -> None:
    assert mean_interval([]).mean is None
    one = mean_interval([2.5])
    assert (one.mean, one.low, one.high) == (2.5, None, None)
