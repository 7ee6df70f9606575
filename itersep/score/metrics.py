"""Metrics of separation in dB, the assignment of estimates to references, and means with their uncertainty.

Arguments in the order (est, ref). Everything is computed in float64. A ratio with a silent signal in it is undefined,
and is NaN here; the caller counts those.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio, signal_distortion_ratio

from itersep.losses.pit import best_permutation, pairwise

SDR_DIAGONAL = 1e-10  # keeps the filter's equations solvable for any reference, and SDR within 100 dB
LIMIT_DB = 100.0  # of SDR and leak, either way
INAUDIBLE_DB = 60.0  # what is so far below the mixture counts as silent


def si_sdr_db(est: Tensor, ref: Tensor) -> Tensor:
    """Scale-invariant SDR (Le Roux et al., "SDR - half-baked or well done?"); (..., T) -> (...), means not removed."""
    est, ref = torch.broadcast_tensors(est.double(), ref.double())
    return scale_invariant_signal_distortion_ratio(est, ref).where(~_one_is_silent(est, ref), math.nan)


def sdr_db(est: Tensor, ref: Tensor) -> Tensor:
    """SDR of BSS Eval (Vincent et al., 2006): ref may be filtered by 512 taps to fit est; (..., T) -> (...).

    It lies within -+ 100 dB: est and ref with nothing in common have -100.
    """
    est, ref = torch.broadcast_tensors(est.double(), ref.double())
    # One by one: torch's batched solver gives wrong pivots where it has several threads (pytorch issue 142815).
    pairs = zip(est.flatten(0, -2), ref.flatten(0, -2), strict=True) if est.ndim > 1 else [(est, ref)]
    sdr = torch.stack([signal_distortion_ratio(one, other, load_diag=SDR_DIAGONAL) for one, other in pairs])
    sdr = sdr.nan_to_num(nan=-LIMIT_DB).clamp(-LIMIT_DB, LIMIT_DB)
    return sdr.reshape(est.shape[:-1]).where(~_one_is_silent(est, ref), math.nan)


def assign(est: Tensor, ref: Tensor) -> Tensor:
    """The permutation (C,) with the best mean SI-SDR: est[perm[c]] goes with ref[c]. est, ref (C, T).

    A silent reference has no say in it; to others, a silent estimate is as bad as one with nothing in common.
    """
    scores = pairwise(si_sdr_db, est[None], ref[None]).nan_to_num(-LIMIT_DB)
    return best_permutation(scores.where(ref.abs().amax(-1) > 0, 0.0))[0]


def leak_db(est: Tensor, active: Tensor) -> Tensor:
    """How loud each estimate is against those of active speakers: (C, T), active (C,) -> (C,), within -+ 100 dB.

    10 log10 of an estimate's energy over the mean energy of the active speakers' estimates. Where the speaker is
    silent, it is what a listener hears instead of silence; it is relative to the other estimates, not to the mixture,
    since a model may answer at any level. NaN where no speaker is active.
    """
    power = est.double().square().sum(-1)
    ratio = 10 * torch.log10(power / power[active].mean())
    return ratio.where(power > 0, -LIMIT_DB).clamp(-LIMIT_DB, LIMIT_DB).where(active.any(), math.nan)


def mute_inaudible(mix: Tensor, ref: Tensor) -> Tensor:
    """References (C, T) with zeros for those that nobody hears in the mixture (T,): `INAUDIBLE_DB` below it or more."""
    least = mix.double().square().sum() * 10.0 ** (-INAUDIBLE_DB / 10.0)
    return ref.where(ref.double().square().sum(-1, keepdim=True) > least, 0.0)


@dataclass(frozen=True)
class Mean:
    """A mean and its 95 % interval; None where it is undefined (no value; an interval of fewer than two)."""

    mean: float | None
    low: float | None
    high: float | None


def mean_interval(values: Sequence[float]) -> Mean:
    """Mean of independent values with Student's t interval at 95 %: mean -+ t(0.975; n - 1) s / sqrt(n)."""
    if len(values) == 0:
        return Mean(None, None, None)
    mean = float(np.mean(values))
    if len(values) == 1:
        return Mean(mean, None, None)
    half = float(stdtrit(len(values) - 1, 0.975) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return Mean(mean, mean - half, mean + half)


def _one_is_silent(est: Tensor, ref: Tensor) -> Tensor:
    return (est.abs().amax(-1) == 0) | (ref.abs().amax(-1) == 0)
