"""Metrics by packages of others, computed where they are asked for: intelligibility, quality, interference, artefacts.

What those packages return for silence, short and loud signals is often a number that means nothing (docs/metrics.md
has a table). Here such a value is undefined, and the functions return the reason, a clause, in its place.
"""

import warnings
from importlib import import_module

import numpy as np
import torch
from torch import Tensor

FILTER_TAPS = 512  # of BSS Eval
PESQ_MODES = {8000: "nb", 16000: "wb"}
DNSMOS_RATE = 16000
SILENT = "the estimate is silent"


def stoi(est: np.ndarray, ref: np.ndarray, sample_rate: int, *, extended: bool = False) -> float | str:
    """STOI (Taal et al., 2011), or ESTOI (Jensen and Taal, 2016), at 10 kHz, by pystoi; est, ref (T,)."""
    package = import_module("pystoi")
    if not est.any():
        return SILENT
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
        try:
            return float(package.stoi(ref, est, sample_rate, extended=extended))
        except (RuntimeWarning, np.exceptions.AxisError):  # the latter of signals shorter than a frame
            return "the reference has fewer than 30 frames (0.4 s) of speech"


def pesq(est: np.ndarray, ref: np.ndarray, sample_rate: int) -> float | str:
    """PESQ as MOS-LQO (ITU-T P.862; wide band, P.862.2, at 16 kHz), by pesq; est, ref (T,)."""
    package = import_module("pesq")
    if sample_rate not in PESQ_MODES:
        return f"PESQ is defined at 8 and 16 kHz, not at {sample_rate} Hz"
    if not est.any():
        return SILENT
    try:
        return float(package.pesq(sample_rate, ref.astype(np.float32), est.astype(np.float32), PESQ_MODES[sample_rate]))
    except package.BufferTooShortError:
        return "the signals are shorter than 0.25 s"
    except package.NoUtterancesError:
        return "PESQ finds no utterance in the reference"


def dnsmos(est: np.ndarray, sample_rate: int) -> dict[str, float] | str:
    """DNSMOS P.835 (Reddy et al., 2022), by speechmos: a network's estimate of listeners' opinions; est (T,).

    Returns sig_mos, bak_mos and ovrl_mos. It needs no reference, and a signal shorter than 9 s is repeated.
    """
    package = import_module("speechmos.dnsmos")
    if sample_rate != DNSMOS_RATE:
        return f"DNSMOS is defined at {DNSMOS_RATE} Hz, not at {sample_rate} Hz"
    if not est.any():
        return SILENT
    if np.abs(est).max() > 1.0:
        return "the estimate exceeds full scale"
    opinions = package.run(est.astype(np.float32), sample_rate)
    return {part: float(opinions[part]) for part in ("sig_mos", "bak_mos", "ovrl_mos")}


def sir_sar_db(est: Tensor, ref: Tensor) -> tuple[Tensor, Tensor] | str:
    """SIR and SAR of BSS Eval (Vincent et al., 2006), by fast_bss_eval: (C, T) -> (C,) each, in float64.

    With filters of 512 taps. All speakers must be active.
    """
    package = import_module("fast_bss_eval")
    if len(ref) < 2:
        return "one speaker alone has no interference"
    if (est.abs().amax(-1) == 0).any():
        return "an estimate is silent"
    if ref.shape[-1] <= len(ref) * FILTER_TAPS:
        return f"the signals are shorter than {len(ref)} filters of {FILTER_TAPS} taps"
    try:
        _, sir, sar = package.bss_eval_sources(ref.double(), est.double(), compute_permutation=False)
    except torch.linalg.LinAlgError:
        return "the references are linearly dependent"
    return sir, sar
