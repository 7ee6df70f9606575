"""The metrics that are scored and shown, by name.

A metric that is registered is scored, stored, summed up, and shown in tables, figures, cards and pages; nothing else
has to know it:

    register(Metric("peak_db", "peak", "dB", "lower", lambda signals: 20 * signals.est.abs().amax(-1).log10()))
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from itersep.score.metrics import INAUDIBLE_DB, leak_db, sdr_db, si_sdr_db
from itersep.separate.stopping import change_db


@dataclass(frozen=True)
class Signals:
    """What metrics are computed from, float64: a mixture (T,), its references and estimates (C, T).

    ``est`` is in the order of ``ref``, and so is ``previous``, the estimates of the iteration before, None where there
    are none. A silent reference is all zeros (see `mute_inaudible`).
    """

    mix: Tensor
    ref: Tensor
    est: Tensor
    previous: Tensor | None
    sample_rate: int

    @cached_property
    def active(self) -> Tensor:
        """Which speakers are heard in the mixture (C,)."""
        return self.ref.abs().amax(-1) > 0

    @cached_property
    def alone(self) -> Tensor:
        """Which speaker is all that there is in the mixture (C,), so that there is nothing to separate."""
        return si_sdr_db(self.mix, self.ref) >= INAUDIBLE_DB


@dataclass(frozen=True)
class Metric:
    """A figure of merit: how it is called, what it needs, whose it is, and how it is computed.

    Args:
        name: column of scores.csv and key of summary.json; ends in the unit, as in si_sdr_db
        title: what tables and figures call it
        unit: dB, or another; empty for a plain number
        better: higher or lower; None for a figure that is neither good nor bad, which is stored and not shown
        compute: from the signals of a mixture to a value for each speaker (C,), or one for all; NaN is undefined
        scores: the speakers whose values are kept: those active in the mixture, since others have no ratio; those
            silent in it; or all
        first: the first iteration that has it: 0, the mixture itself taken for estimates; 1 for what needs estimates;
            2 for what needs those of the iteration before as well
        in_figures: whether it has figures of its own, and tables in bins and by iterations used
        explanation: what a reader of a table should know of it: a clause, without a full stop
    """

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower"] | None
    compute: Callable[[Signals], Tensor]
    scores: Literal["active", "silent", "all"] = "active"
    first: int = 0
    in_figures: bool = True
    explanation: str = ""

    @property
    def head(self) -> str:
        """The head of a column of its values: with its unit, unless that is dB."""
        return self.title if self.unit in ("dB", "") else f"{self.title} ({self.unit})"

    @property
    def axis(self) -> str:
        """The label of an axis of its values."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def note(self) -> str:
        """The explanation, with the direction where that is not the usual one; empty where there is nothing to say."""
        return f"{self.explanation or self.title}, lower is better" if self.better == "lower" else self.explanation

    @property
    def stem(self) -> str:
        """The title as part of a file name."""
        return "".join(letter for letter in self.title.lower() if letter.isalnum())


METRICS: dict[str, Metric] = {}  # by name, in the order of tables


def register(metric: Metric) -> None:
    """Add a metric to those that are scored and shown. Raises ValueError if its name is taken."""
    if metric.name in METRICS:
        raise ValueError(f"a metric is called '{metric.name}' already; choose another name")
    METRICS[metric.name] = metric


def shown_metrics(scores: str = "active") -> list[Metric]:
    """The metrics that tables show, of active speakers or of silent ones."""
    return [metric for metric in METRICS.values() if metric.better and metric.scores == scores]


def figure_metrics() -> list[Metric]:
    """The metrics of active speakers that have figures of their own."""
    return [metric for metric in shown_metrics() if metric.in_figures]


def evaluate(signals: Signals, iteration: int) -> list[dict[str, float]]:
    """The values of all metrics for each speaker: metric -> value, without those that are undefined.

    The mixture (iteration 0) has no score as the estimate of a speaker who is alone in it.
    """
    everyone = torch.ones_like(signals.active)
    whose = {"active": signals.active, "silent": ~signals.active, "all": everyone}
    heard = everyone if iteration else ~signals.alone
    values: list[dict[str, float]] = [{} for _ in signals.ref]
    for metric in METRICS.values():
        kept = whose[metric.scores] & heard
        if iteration < metric.first or not kept.any():
            continue
        for c, value in enumerate(metric.compute(signals).expand(len(values)).tolist()):
            if kept[c] and not math.isnan(value):
                values[c][metric.name] = value
    return values


register(Metric("si_sdr_db", "SI-SDR", "dB", "higher", lambda signals: si_sdr_db(signals.est, signals.ref)))
register(
    Metric(
        "si_sdri_db",
        "SI-SDRi",
        "dB",
        "higher",
        lambda s: (si_sdr_db(s.est, s.ref) - si_sdr_db(s.mix, s.ref)).where(~s.alone, math.nan),
        first=1,
        in_figures=False,
        explanation="SI-SDRi is SI-SDR less that of the mixture",
    )
)
register(
    Metric(
        "sdr_db",
        "SDR",
        "dB",
        "higher",
        lambda signals: sdr_db(signals.est, signals.ref),
        in_figures=False,
        explanation="SDR allows a filter of 512 taps (BSS Eval)",
    )
)
register(
    Metric(
        "leak_db",
        "leak",
        "dB",
        "lower",
        lambda signals: leak_db(signals.est, signals.active),
        scores="silent",
        first=1,
        in_figures=False,
        explanation="leak is the level of a silent speaker's output over the mean of the active speakers' outputs",
    )
)
register(
    Metric(
        "change_db",
        "change",
        "dB",
        None,
        lambda signals: change_db(signals.est, signals.previous),
        scores="all",
        first=2,
    )
)
