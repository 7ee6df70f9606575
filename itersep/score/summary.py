"""Means of a set's scores, and what else is said of it: the content of summary.json.

Means are over mixtures in which all speakers are active: those with fewer are other tasks, in which a ratio means
something else, and have means of their own, by the number of active speakers.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from itersep.score.metrics import mean_interval
from itersep.score.registry import METRICS, Metric, choose_metrics, shown_metrics
from itersep.score.scores import Job, Score
from itersep.system.errors import UserError
from itersep.system.files import read_json

MAIN = "si_sdr_db"  # whatever else is scored, mixtures are counted and estimates called silent by this
RANKED_BY = "si_sdri_db"
INTERVAL = "95 % interval by Student's t over mixtures, each the mean of its speakers"


def summarize(scores: Sequence[Score], trained_for: int | None = None, metrics: Sequence[str] = ()) -> dict[str, Any]:
    """What follows from scores: means, rate of changes of assignment, silent signals, mixtures to hear.

    ``metrics`` names those that were scored beside the standard ones.

    The latter are told by the iteration that the model was trained to end with, or the last where that is not known.
    """
    speakers = max((score.speaker for score in scores), default=0)
    kinds = _group_by_active(scores)
    last = max((score.iteration for score in scores), default=0)
    iteration = min(trained_for or last, last)
    gains = improvements(scores, iteration)
    listen = {
        rank: {"utt": utt, RANKED_BY: gains[utt], "iteration": iteration} for rank, utt in choose_to_hear(gains).items()
    }
    return {
        "mixtures": len({score.utt for score in scores}),
        "speakers": speakers,
        "interval": INTERVAL,
        "metrics": [metric.name for metric in choose_metrics(metrics)],
        "iterations": _summarize_iterations(kinds.pop(speakers, []), shown_metrics(), last),
        "with_silence": [
            {
                "active": active,
                "mixtures": len({score.utt for score in kinds[active]}),
                "iterations": _summarize_iterations(kinds[active], shown_metrics() + shown_metrics("silent"), last),
            }
            for active in sorted(kinds, reverse=True)
        ],
        **_name_silent(scores),
        "undefined": _count_undefined(scores),
        "listen": listen,
    }


def all_active(scores: Iterable[Score]) -> list[Score]:
    """The scores of mixtures in which all speakers are active."""
    scores = list(scores)
    partly = {score.utt for score in scores if not score.active}
    return [score for score in scores if score.utt not in partly]


def mixture_means(scores: Iterable[Score], metric: str) -> dict[int, dict[str, float]]:
    """Iteration -> mixture -> mean of a metric over the speakers whose it is, active or silent ones.

    A mixture is left out after an iteration in which one of them lacks it: where an estimate is silent, the mixture
    would be credited with the other speaker alone.
    """
    whose = METRICS[metric].scores
    values: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for score in scores:
        if whose == "all" or score.active == (whose == "active"):
            values[score.iteration][score.utt].append(score.get(metric))
    means = {i: {utt: fmean(speakers) for utt, speakers in utts.items()} for i, utts in values.items()}
    return {i: {utt: mean for utt, mean in utts.items() if not math.isnan(mean)} for i, utts in means.items()}


def improvements(scores: Iterable[Score], iteration: int) -> dict[str, float]:
    """Mixture -> mean SI-SDRi (dB) of its speakers after an iteration; mixtures with a silent signal left out."""
    means = mixture_means(all_active(scores), RANKED_BY).get(iteration, {})
    return {utt: round(mean, 4) for utt, mean in means.items()}


def choose_to_hear(gains: Mapping[str, float]) -> dict[str, str]:
    """The mixtures with the best, median and worst of ``gains``: rank -> mixture; nothing where there are none."""
    ranked = sorted(gains, key=lambda utt: (-gains[utt], utt))
    return {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]} if ranked else {}


def name_files(listen: dict[str, dict[str, Any]], jobs: Sequence[Job]) -> dict[str, dict[str, Any]]:
    """The mixtures to hear with their files: the mixture, and the estimates after the iteration they were chosen by."""
    by_utt = {job.utt: job for job in jobs}
    return {
        rank: at | {"mixture": by_utt[at["utt"]].mix, "estimates": list(by_utt[at["utt"]].est[at["iteration"] - 1])}
        for rank, at in listen.items()
    }


def read_summary(path: str | Path) -> dict[str, Any]:
    """Read summary.json. Raises UserError that names it if it is missing or broken."""
    again = "run scoring again"
    summary = read_json(path, "run scoring first", again)
    if not (summary.get("model_sha256") and summary.get("iterations")):
        raise UserError(f"{path}: is not a summary of scores; {again}")
    return summary


def describe(summary: dict[str, Any]) -> str:
    """A summary in a few lines for the terminal."""
    lines = [_describe_row(row, shown_metrics()) for row in summary["iterations"]]
    for kind in summary["with_silence"]:
        lines.append(f"{kind['mixtures']} mixtures with {kind['active']} of {summary['speakers']} speakers active:")
        lines += [_describe_row(row, shown_metrics() + shown_metrics("silent")) for row in kind["iterations"]]
    for kind, what in (("references", "left out with their mixtures"), ("estimates", "their mixtures are left out")):
        names = summary[f"silent_{kind}"]
        if names:
            more = ", ..." if len(names) > 3 else ""
            lines.append(f"silent {kind}, {what}: {len(names)} ({', '.join(names[:3])}{more})")
    for one in summary.get("undefined", ()):
        lines.append(f"{METRICS[one['metric']].title} is undefined {one['count']} times: {one['reason']}")
    for rank, at in summary["listen"].items():
        lines.append(f"hear the {rank} ({at[RANKED_BY]:+.1f} dB): {at['mixture']} -> {' '.join(at['estimates'])}")
    return "\n".join(lines)


def _describe_row(row: Mapping[str, Any], metrics: Sequence[Metric]) -> str:
    name = f"iteration {row['iteration']}" if row["iteration"] else "mixture"
    values = [
        f"{metric.title} {row[metric.name]['mean']:5.2f} {metric.unit}".rstrip()
        for metric in metrics
        if row["iteration"] >= metric.first and row.get(metric.name, {}).get("mean") is not None
    ]
    return f"{name:12} {'  '.join(values) or 'no score'}"


def _group_by_active(scores: Iterable[Score]) -> dict[int, list[Score]]:
    """Number of active speakers -> the scores of mixtures with so many."""
    scores = list(scores)
    active = Counter(utt for utt, _ in {(score.utt, score.speaker) for score in scores if score.active})
    kinds: dict[int, list[Score]] = defaultdict(list)
    for score in scores:
        kinds[active[score.utt]].append(score)
    return kinds


def _summarize_iterations(scores: Sequence[Score], metrics: Sequence[Metric], last: int) -> list[dict[str, Any]]:
    """Means of mixtures of one kind after each iteration, of those metrics that any of them has."""
    means = {metric.name: mixture_means(scores, metric.name) for metric in metrics}
    found = {name: by_iteration for name, by_iteration in means.items() if any(by_iteration.values()) or name == MAIN}
    utts = {score.utt for score in scores}
    rows: list[dict[str, Any]] = []
    before: dict[str, dict[int, int]] = {}
    for iteration in range(last + 1):
        values = {name: list(by_iteration.get(iteration, {}).values()) for name, by_iteration in found.items()}
        order = _find_order(scores, iteration)
        changed = None if iteration < 2 or not utts else sum(order[utt] != before[utt] for utt in utts) / len(utts)
        rows.append(
            {
                "iteration": iteration,
                **{name: asdict(mean_interval(of_mixtures)) for name, of_mixtures in values.items()},
                "changed_rate": changed,
                "mixtures": len(values[MAIN]),
                "left_out": len(utts) - len(values[MAIN]),
            }
        )
        before = order
    return rows


def _name_silent(scores: Iterable[Score]) -> dict[str, list[str]]:
    """The references that are not heard, and the estimates of other speakers that are silent, and so have no score."""
    scores = list(scores)
    references = sorted({(score.utt, score.speaker) for score in scores if not score.active})
    estimates = [score for score in scores if score.active and score.iteration and MAIN not in score.values]
    return {
        "silent_references": [f"{utt} speaker {speaker}" for utt, speaker in references],
        "silent_estimates": [f"{s.utt} speaker {s.speaker} iteration {s.iteration}" for s in estimates],
    }


def _count_undefined(scores: Iterable[Score]) -> list[dict[str, Any]]:
    """How often a metric is undefined for a reason, by metric and reason."""
    counts = Counter(item for score in scores for item in score.reasons.items())
    return [{"metric": metric, "reason": reason, "count": counts[metric, reason]} for metric, reason in sorted(counts)]


def _find_order(scores: Iterable[Score], iteration: int) -> dict[str, dict[int, int]]:
    """Mixture -> speaker -> the estimate assigned to it in an iteration."""
    order: dict[str, dict[int, int]] = defaultdict(dict)
    for score in scores:
        if score.iteration == iteration:
            order[score.utt][score.speaker] = score.estimate
    return order
