"""A recording's sample rate made a model's, and its estimates' the recording's."""

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np
from scipy.signal import firwin, resample_poly

from itersep.system.errors import UserError

FINEST = 1000  # largest denominator of a ratio of sample rates
LOBES = 32  # of the windowed sinc on each side
CUTOFF = 0.99  # of the lower rate's half


def rate_ratio(sample_rate: int, model_rate: int) -> tuple[int, int]:
    """Up and down: whole numbers whose quotient times ``sample_rate`` is ``model_rate``, in lowest terms.

    Rates without a small ratio would take large filters: the nearest small one is taken both ways, so that the model
    hears the recording up to half a thousandth too fast or slow, and the way back undoes it. Raises UserError where
    the rates are too far apart.
    """
    ratio = Fraction(model_rate, sample_rate).limit_denominator(FINEST)
    if ratio == 0:
        raise UserError(f"a sample rate of {sample_rate} Hz is too high for a model of {model_rate} Hz; resample it")
    return ratio.as_integer_ratio()


def resample(wave: np.ndarray, up: int, down: int) -> np.ndarray:
    """Float32 (..., T) with ``up`` samples for each ``down`` ones: (..., ceil(T up / down)), without any delay."""
    return resample_poly(wave, up, down, axis=-1, window=_lowpass(max(up, down)))


@lru_cache(maxsize=8)
def _lowpass(factor: int) -> np.ndarray:
    """A sinc under a Hann window that passes what lies below 1 / ``factor`` of half the rate, float32."""
    return firwin(2 * math.ceil(LOBES * factor / CUTOFF) + 1, CUTOFF / factor, window="hann").astype(np.float32)
