"""Means of a set's scores, and what else is said of it: the content of summary.json."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from itersep.errors import UserError
from itersep.files import read_json
from itersep.metrics import mean_interval
from itersep.score import Job, Score

METRICS = ("si_sdr_db", "si_sdri_db", "sdr_db")
INTERVAL = "95 % interval by Student's t over mixtures, each the mean of its speakers"


def summarize(scores: Sequence[Score], trained_for: int | None = None) -> dict[str, Any]:
    """What follows from scores.csv: means, rate of changes of assignment, silent signals, mixtures to hear.

    The latter are told by the iteration that the model was trained to end with, or the last where that is not known.
    """
    by_iteration: dict[int, dict[str, list[Score]]] = defaultdict(lambda: defaultdict(list))
    for score in scores:
        by_iteration[score.iteration][score.utt].append(score)
    means = {metric: mixture_means(scores, metric) for metric in METRICS}
    rows = [_summarize_iteration(i, by_iteration[i], by_iteration.get(i - 1), means) for i in sorted(by_iteration)]
    last = max(by_iteration, default=0)
    iteration = min(trained_for or last, last)
    gains = improvements(scores, iteration)
    listen = {
        rank: {"utt": utt, "si_sdri_db": gains[utt], "iteration": iteration}
        for rank, utt in choose_to_hear(gains).items()
    }
    return {
        "mixtures": len(by_iteration[0]),
        "speakers": max((score.speaker for score in scores), default=0),
        "interval": INTERVAL,
        "iterations": rows,
        **_name_silent(scores),
        "listen": listen,
    }


def mixture_means(scores: Iterable[Score], metric: str) -> dict[int, dict[str, float]]:
    """Iteration -> mixture -> mean of a metric over its speakers.

    Silent signals have no ratio: a speaker whose reference is silent is left out, and after an iteration with a silent
    estimate the whole mixture is, which would be credited with the other speaker alone.
    """
    scores = list(scores)
    absent = {(score.utt, score.speaker) for score in scores if score.iteration == 0 and math.isnan(score.si_sdri_db)}
    values: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for score in scores:
        if (score.utt, score.speaker) not in absent:
            silent = math.isnan(score.si_sdri_db)
            values[score.iteration][score.utt].append(math.nan if silent else getattr(score, metric))
    means = {i: {utt: float(np.mean(speakers)) for utt, speakers in utts.items()} for i, utts in values.items()}
    return {i: {utt: mean for utt, mean in utts.items() if not math.isnan(mean)} for i, utts in means.items()}


def improvements(scores: Iterable[Score], iteration: int) -> dict[str, float]:
    """Mixture -> mean SI-SDRi (dB) of its speakers after an iteration; mixtures with a silent signal left out."""
    values: dict[str, list[float]] = defaultdict(list)
    for score in scores:
        if score.iteration == iteration:
            values[score.utt].append(score.si_sdri_db)
    means = {utt: round(float(np.mean(speakers)), 4) for utt, speakers in values.items()}
    return {utt: mean for utt, mean in means.items() if not math.isnan(mean)}


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
        raise UserError(f"{path}: is no summary of scores; {again}")
    return summary


def describe(summary: dict[str, Any]) -> str:
    """A summary in a few lines for the terminal."""
    lines = []
    for row in summary["iterations"]:
        name = f"iteration {row['iteration']}" if row["iteration"] else "mixture"
        si_sdr, si_sdri, sdr = (row[metric]["mean"] for metric in METRICS)
        values = "no score" if si_sdr is None else f"SI-SDR {si_sdr:5.2f} dB ({si_sdri:+.2f})  SDR {sdr:5.2f} dB"
        lines.append(f"{name:12} {values}")
    for kind, what in (("references", "left out"), ("estimates", "their mixtures are left out")):
        names = summary[f"silent_{kind}"]
        if names:
            more = ", ..." if len(names) > 3 else ""
            lines.append(f"silent {kind}, {what}: {len(names)} ({', '.join(names[:3])}{more})")
    for rank, at in summary["listen"].items():
        lines.append(f"hear the {rank} ({at['si_sdri_db']:+.1f} dB): {at['mixture']} -> {' '.join(at['estimates'])}")
    return "\n".join(lines)


def _summarize_iteration(
    iteration: int,
    utts: dict[str, list[Score]],
    before: dict[str, list[Score]] | None,
    means: dict[str, dict[int, dict[str, float]]],
) -> dict[str, Any]:
    scores = [score for lines in utts.values() for score in lines]
    values = {metric: list(of_metric.get(iteration, {}).values()) for metric, of_metric in means.items()}
    changed = None
    if before and iteration > 1:
        changed = sum(_order(utts[utt]) != _order(before[utt]) for utt in utts) / len(utts)
    return {
        "iteration": iteration,
        **{metric: asdict(mean_interval(of_mixtures)) for metric, of_mixtures in values.items()},
        "changed_rate": changed,
        "mixtures": len(values["si_sdr_db"]),
        "left_out": sum(math.isnan(score.si_sdri_db) for score in scores),
    }


def _name_silent(scores: Iterable[Score]) -> dict[str, list[str]]:
    """Lines without a score: those of a silent reference lack it for the mixture already."""
    undefined = [score for score in scores if math.isnan(score.si_sdri_db)]
    references = {(score.utt, score.speaker) for score in undefined if score.iteration == 0}
    estimates = [s for s in undefined if (s.utt, s.speaker) not in references]
    return {
        "silent_references": [f"{utt} speaker {speaker}" for utt, speaker in sorted(references)],
        "silent_estimates": [f"{s.utt} speaker {s.speaker} iteration {s.iteration}" for s in estimates],
    }


def _order(scores: Iterable[Score]) -> list[int]:
    return [score.estimate for score in sorted(scores, key=lambda score: score.speaker)]
