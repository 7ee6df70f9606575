"""Resampling from a recording's rate to a model's and back."""

from fractions import Fraction

import numpy as np
import pytest

from itersep.separate.resample import rate_ratio, resample
from itersep.system.errors import UserError

RATES = [(48000, 16000), (44100, 16000), (8000, 16000), (16000, 44100), (11025, 8000)]


def tone(hz: float, rate: int, seconds: float = 0.5) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate + 1).astype(np.float32)


@pytest.mark.parametrize(("rate", "other"), RATES)
def test_a_resampled_tone_is_the_tone_without_delay(rate: int, other: int) -> None:
    up, down = rate_ratio(rate, other)
    for hz in (100.3, 0.44 * min(rate, other)):
        got, expected = resample(tone(hz, rate), up, down), tone(hz, other)
        inner = slice(len(expected) // 8, -len(expected) // 8)  # beyond the ends there are zeros
        np.testing.assert_allclose(got[inner], expected[inner], atol=1e-3)
        assert got.dtype == np.float32


@pytest.mark.parametrize(("rate", "other"), [pair for pair in RATES if pair[0] > pair[1]])
def test_nothing_above_half_the_lower_rate_is_left(rate: int, other: int) -> None:
    inner = resample(tone(0.55 * other, rate), *rate_ratio(rate, other))[1000:-1000]
    assert np.abs(inner).max() < 1e-3


@pytest.mark.parametrize("length", [1, 2, 999])
def test_lengths_are_rounded_up_and_axes_kept(length: int) -> None:
    for up, down in ((1, 3), (160, 441), (3, 1), (1, 1)):
        assert resample(np.ones((3, length), np.float32), up, down).shape == (3, -(-length * up // down))


def test_odd_rates_take_a_near_ratio_of_small_numbers() -> None:
    assert rate_ratio(48000, 16000) == (1, 3) and rate_ratio(44100, 16000) == (160, 441)
    for rate in (44101, 8001, 191999):
        up, down = rate_ratio(rate, 16000)
        assert down <= 1000 and abs(Fraction(up, down) * rate / 16000 - 1) < 1e-3


def test_rates_too_far_apart_are_refused() -> None:
    with pytest.raises(UserError, match="2147483647 Hz is too high for a model of 8000 Hz"):
        rate_ratio(2**31 - 1, 8000)
