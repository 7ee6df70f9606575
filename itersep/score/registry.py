"""The metrics that are scored and shown, by name.

A metric that is registered is scored, stored, summed up, and shown in tables, figures, cards and pages; nothing else
has to know it:

    register(Metric("peak_db", "peak", "dB", "lower", lambda signals: 20 * signals.est.abs().amax(-1).log10()))

Those of `packages` are scored where they are asked for, since they are slow, or need what not everybody has.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.util import find_spec
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from itersep.score.metrics import INAUDIBLE_DB, leak_db, sdr_db, si_sdr_db
from itersep.score.optional import dnsmos, pesq, sir_sar_db, stoi
from itersep.separate.stopping import change_db
from itersep.system.errors import UserError

Values = Tensor | Sequence[float | str]  # of each speaker, or one for all; a text is the reason for an undefined one


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
    def sir_sar(self) -> tuple[Tensor, Tensor] | str:
        """SIR and SAR of the active speakers, or why there is none; two metrics take theirs from it."""
        return sir_sar_db(self.est[self.active], self.ref[self.active])

    @cached_property
    def dnsmos(self) -> list[dict[str, float] | str]:
        """DNSMOS of each active speaker's estimate, or why there is none; three metrics take theirs from it."""
        speakers = zip(self.est.numpy(), self.active.tolist(), strict=True)
        return [dnsmos(est, self.sample_rate) if active else "the speaker is silent" for est, active in speakers]

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
        compute: from the signals of a mixture to a value for each speaker (C,), or one for all; NaN is undefined, and
            so is a text, which says why
        scores: the speakers whose values are kept: those active in the mixture, since others have no ratio; those
            silent in it; or all
        first: the first iteration that has it: 0, the mixture itself taken for estimates; 1 for what needs estimates;
            2 for what needs those of the iteration before as well
        in_figures: whether it has figures of its own, and tables in bins and by iterations used
        explanation: what a reader of a table should know of it: a clause, without a full stop
        packages: those that compute it, the metric's own first, of the extra "metrics"; such a metric is scored where
            it is asked for
    """

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower"] | None
    compute: Callable[[Signals], Values]
    scores: Literal["active", "silent", "all"] = "active"
    first: int = 0
    in_figures: bool = True
    explanation: str = ""
    packages: tuple[str, ...] = ()

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


def choose_metrics(names: Iterable[str] = ()) -> list[Metric]:
    """The metrics to score: those that always are, and the named ones.

    Raises UserError for a name that is not a metric's, and where its package is not installed.
    """
    names = set(names)
    for name in sorted(names):
        if name not in METRICS:
            raise UserError(f"--metrics: '{name}' is not a metric; choose from {', '.join(METRICS)}")
        for package in METRICS[name].packages:
            if find_spec(package) is None:
                extra = "pesq" if package == "pesq" else "metrics"
                raise UserError(f"--metrics: {name} needs the package {package}; pip install 'itersep[{extra}]'")
    return [metric for metric in METRICS.values() if not metric.packages or metric.name in names]


class Evaluation(NamedTuple):
    """Values of a speaker, metric -> value, without those that are undefined, and known reasons for these."""

    values: dict[str, float]
    reasons: dict[str, str]


def evaluate(signals: Signals, iteration: int, metrics: Iterable[Metric]) -> list[Evaluation]:
    """The values of metrics for each speaker.

    The mixture (iteration 0) has no score as the estimate of a speaker who is alone in it.
    """
    everyone = torch.ones_like(signals.active)
    whose = {"active": signals.active, "silent": ~signals.active, "all": everyone}
    heard = everyone if iteration else ~signals.alone
    speakers = [Evaluation({}, {}) for _ in signals.ref]
    for metric in metrics:
        kept = whose[metric.scores] & heard
        if iteration < metric.first or not kept.any():
            continue
        computed = metric.compute(signals)
        if isinstance(computed, Tensor):
            computed = computed.expand(len(speakers)).tolist()
        for speaker, value, keep in zip(speakers, computed, kept.tolist(), strict=True):
            if keep and isinstance(value, str):
                speaker.reasons[metric.name] = value
            elif keep and not math.isnan(value):
                speaker.values[metric.name] = value
    return speakers


def each_active(score: Callable[..., float | str]) -> Callable[[Signals], Values]:
    """A metric's ``compute``, of a function of one speaker: (est (T,), ref (T,), sample rate) -> value, or reason."""

    def compute(signals: Signals) -> Values:
        speakers = zip(signals.est.numpy(), signals.ref.numpy(), signals.active.tolist(), strict=True)
        return [score(est, ref, signals.sample_rate) if active else math.nan for est, ref, active in speakers]

    return compute


def _change_db(signals: Signals) -> Tensor:
    assert signals.previous is not None  # from the second iteration on
    return change_db(signals.est, signals.previous)


def _bss_eval(signals: Signals, part: int) -> Values:
    """SIR (``part`` 0) or SAR (1)."""
    found, values = signals.sir_sar, torch.full(signals.active.shape, math.nan, dtype=torch.float64)
    if isinstance(found, str):
        return [found if active else math.nan for active in signals.active.tolist()]
    values[signals.active] = found[part]
    return values


def _dnsmos(signals: Signals, part: str) -> Values:
    found = signals.dnsmos
    return [one if isinstance(one, str) else one[part] for one in found]


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
        _change_db,
        scores="all",
        first=2,
    )
)
for name, title, extended in (("stoi", "STOI", False), ("estoi", "ESTOI", True)):
    compute = each_active(partial(stoi, extended=extended))
    register(Metric(name, title, "", "higher", compute, in_figures=False, packages=("pystoi",)))
register(
    Metric(
        "pesq",
        "PESQ",
        "",
        "higher",
        each_active(pesq),
        in_figures=False,
        explanation="PESQ is MOS-LQO from 1 to 4.6, of wide band at 16 kHz and narrow band at 8 kHz",
        packages=("pesq",),
    )
)
for part, what in (("sig", "speech"), ("bak", "background"), ("ovrl", "overall")):
    register(
        Metric(
            f"dnsmos_{part}",
            f"DNSMOS {what}",
            "",
            "higher",
            partial(_dnsmos, part=f"{part}_mos"),
            in_figures=False,
            packages=("speechmos", "librosa", "onnxruntime", "requests"),
        )
    )
for k, (name, title) in enumerate((("sir_db", "SIR"), ("sar_db", "SAR"))):
    register(
        Metric(
            name,
            title,
            "dB",
            "higher",
            partial(_bss_eval, part=k),
            in_figures=False,
            explanation=f"{title} allows filters of 512 taps (BSS Eval)",
            packages=("fast_bss_eval",),
        )
    )
