"""What ending the iterations early costs and saves: SI-SDR against the mean number of iterations used.

The estimates of every iteration are there, so that each threshold of `--until-change-db` can be tried without
separating again: a mixture ends with the first iteration that changes its estimates by less, or with the last.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from itersep.metrics import mean_interval
from itersep.report.experiment import ScoredSet
from itersep.report.markdown import format_mean
from itersep.report.rows import Table, Tried
from itersep.report.summary import mixture_means
from itersep.score import Score

STOPPING_EXPLANATION = (
    "*until change*: the threshold of `itersep-separate --until-change-db`. An iteration that changes a mixture's "
    "estimates by less, relative to them, is its last."
)
THRESHOLDS_DB = tuple(range(-6, -33, -3))


def summarize_stopping(scores: Sequence[Score]) -> list[dict[str, Any]]:
    """For each threshold the mean number of iterations used, and the mean SI-SDR of what they end with.

    Nothing where there are fewer than three iterations: the first that can be seen to change little is the second.
    """
    changes: dict[str, dict[int, float]] = defaultdict(dict)
    for score in scores:
        if score.iteration > 1:
            changes[score.utt][score.iteration] = score.change_db
    last = max(score.iteration for score in scores)
    if last < 3:
        return []
    means = mixture_means(scores, "si_sdr_db")
    rows = []
    for threshold_db in THRESHOLDS_DB:
        used = {utt: last_iteration(by_iteration, threshold_db) for utt, by_iteration in changes.items()}
        values = [means[i][utt] for utt, i in used.items() if utt in means.get(i, {})]
        rows.append(
            {
                "threshold_db": threshold_db,
                "mean_iterations": float(np.mean(list(used.values()))),
                "si_sdr_db": asdict(mean_interval(values)),
            }
        )
    return rows


def last_iteration(changes_db: dict[int, float], threshold_db: float) -> int:
    """The iteration that a mixture ends with: the first that changes it by less than the threshold, or the last."""
    return min((i for i, change_db in changes_db.items() if change_db < threshold_db), default=max(changes_db))


def with_stopping(tried: Tried) -> list[tuple[str, ScoredSet]]:
    """The experiments whose estimates were scored for it."""
    return [(name, scored) for name, scored in tried if scored.summary.get("stopping")]


def stopping_table(tried: Tried) -> Table:
    """Iterations used and SI-SDR by threshold."""
    rows = [
        [name, str(row["threshold_db"]), f"{row['mean_iterations']:.2f}", format_mean(row["si_sdr_db"])]
        for name, scored in with_stopping(tried)
        for row in scored.summary["stopping"]
    ]
    return Table(["experiment", "until change (dB)", "iterations used", "SI-SDR"], "lrrr", rows)
