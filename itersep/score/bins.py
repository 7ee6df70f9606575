"""Scores in bins of what was drawn for the mixtures: overlap of the speakers, reverberation time, noise level."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from itersep.score.metrics import mean_interval
from itersep.score.registry import figure_metrics
from itersep.score.scores import Score
from itersep.score.summary import all_active, mixture_means
from itersep.simulate.manifest import AnyMixture, Mixture
from itersep.system.errors import UserError


@dataclass(frozen=True)
class Axis:
    """Something drawn for each mixture, and the edges between its bins; a value on an edge belongs above it."""

    title: str
    unit: str
    edges: tuple[float, ...]
    value: Callable[[Mixture], float | None]

    def labels(self) -> list[str]:
        """Names of the bins; the outer ones are open."""
        inner = [f"{low:g}–{high:g}" for low, high in zip(self.edges, self.edges[1:], strict=False)]
        return [f"< {self.edges[0]:g}", *inner, f"≥ {self.edges[-1]:g}"]


AXES = {  # quarters of the paper's ranges
    "overlap": Axis("overlap", "%", (25, 50, 75), lambda mixture: 100 * mixture.overlap),
    "t60": Axis("T60", "s", (0.2, 0.3, 0.4), lambda mixture: mixture.t60_s),
    "noise_snr": Axis("speech over noise", "dB", (12.5, 15, 17.5), lambda m: m.noise.snr_db if m.noise else None),
}


def summarize_bins(scores: Sequence[Score], mixtures: Sequence[AnyMixture]) -> dict[str, list[dict[str, Any]]]:
    """Axis -> its bins, each with its number of mixtures and the means after each iteration (0: the mixture).

    Mixtures without a room are in no bin, nor are those with silent speakers; an axis without mixtures is left out.
    Raises UserError for a scored mixture that is not among ``mixtures``.
    """
    drawn = {mixture.id: mixture for mixture in mixtures}
    scores = all_active(scores)
    means = {metric.name: mixture_means(scores, metric.name) for metric in figure_metrics()}
    utts = sorted({score.utt for score in scores})
    for utt in utts:
        if utt not in drawn:
            raise UserError(f"mixtures.jsonl: has no '{utt}', which wav.scp beside it lists; simulate the set again")
    bins = {}
    for name, axis in AXES.items():
        in_rooms = ((utt, mixture) for utt in utts if isinstance(mixture := drawn[utt], Mixture))
        values = {utt: value for utt, mixture in in_rooms if (value := axis.value(mixture)) is not None}
        if values:
            members = [
                [u for u in values if bisect_right(axis.edges, values[u]) == k] for k in range(len(axis.labels()))
            ]
            bins[name] = [_summarize_bin(members[k], means, label) for k, label in enumerate(axis.labels())]
    return bins


def _summarize_bin(utts: Sequence[str], means: dict[str, dict[int, dict[str, float]]], label: str) -> dict[str, Any]:
    rows: dict[int, dict[str, Any]] = {i: {"iteration": i} for i in sorted(set().union(*means.values()))}
    for name, by_iteration in means.items():
        for i, values in by_iteration.items():
            rows[i][name] = asdict(mean_interval([values[utt] for utt in utts if utt in values]))
    return {"bin": label, "mixtures": len(utts), "iterations": list(rows.values())}
