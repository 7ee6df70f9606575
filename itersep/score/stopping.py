"""What ending the iterations early costs and saves: scores against the mean number of iterations used.

The estimates of every iteration are there, so that each threshold of `--until-change-db` can be tried without
separating again: a mixture ends with the first iteration that changes its estimates by less, or with the last.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from itersep.score.metrics import mean_interval
from itersep.score.registry import figure_metrics
from itersep.score.scores import Score
from itersep.score.summary import all_active, mixture_means

THRESHOLDS_DB = tuple(range(-6, -33, -3))


def summarize_stopping(scores: Sequence[Score]) -> list[dict[str, Any]]:
    """For each threshold the mean number of iterations used, and the mean scores of what they end with.

    Mixtures with silent speakers are left out. There is nothing where there are fewer than three iterations: the first
    that can be seen to change little is the second.
    """
    changes: dict[str, dict[int, float]] = defaultdict(dict)
    scores = all_active(scores)
    for score in scores:
        if score.iteration > 1:
            changes[score.utt][score.iteration] = score.get("change_db")
    if max((score.iteration for score in scores), default=0) < 3:
        return []
    means = {metric.name: mixture_means(scores, metric.name) for metric in figure_metrics()}
    means = {name: by_iteration for name, by_iteration in means.items() if any(by_iteration.values())}
    rows = []
    for threshold_db in THRESHOLDS_DB:
        used = {utt: last_iteration(by_iteration, threshold_db) for utt, by_iteration in changes.items()}
        row: dict[str, Any] = {"threshold_db": threshold_db, "mean_iterations": float(np.mean(list(used.values())))}
        for name, by_iteration in means.items():
            values = [by_iteration[i][utt] for utt, i in used.items() if utt in by_iteration.get(i, {})]
            row[name] = asdict(mean_interval(values))
        rows.append(row)
    return rows


def last_iteration(changes_db: dict[int, float], threshold_db: float) -> int:
    """The iteration that a mixture ends with: the first that changes it by less than the threshold, or the last."""
    return min((i for i, change_db in changes_db.items() if change_db < threshold_db), default=max(changes_db))
