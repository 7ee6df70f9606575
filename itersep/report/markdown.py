"""Numbers and tables as the results page shows them."""

from collections.abc import Mapping, Sequence
from typing import Any

from itersep.score.registry import Metric

UNKNOWN = "–"
NO_MEAN = {"mean": None, "low": None, "high": None}


def format_mean(mean: Mapping[str, float | None], digits: int = 2) -> str:
    """A mean with its interval: 5.12 [4.80, 5.44]."""
    if mean["mean"] is None:
        return UNKNOWN
    if mean["low"] is None:
        return f"{mean['mean']:.{digits}f}"
    return f"{mean['mean']:.{digits}f} [{mean['low']:.{digits}f}, {mean['high']:.{digits}f}]"


def format_row(row: Mapping[str, Any], metrics: Sequence[Metric]) -> list[str]:
    """Means of these metrics in a row of a summary, with their intervals; none before a metric's first iteration."""
    return [
        UNKNOWN if row.get("iteration", metric.first) < metric.first else format_mean(row.get(metric.name, NO_MEAN))
        for metric in metrics
    ]


def format_half_width(mean: Mapping[str, float | None], digits: int = 2) -> str:
    """A mean with half the width of its interval: 5.12 ± 0.32."""
    if mean["mean"] is None or mean["high"] is None:
        return format_mean(mean, digits)
    return f"{mean['mean']:.{digits}f} ± {mean['high'] - mean['mean']:.{digits}f}"


def format_duration(seconds: float) -> str:
    """Seconds as 47 s, 7 min 12 s, or 3 h 05 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02} min"


def render_table(head: Sequence[str], align: str, rows: Sequence[Sequence[object]]) -> str:
    """A markdown table; ``align`` has an l or r for each column."""
    rule = ["---" if side == "l" else "---:" for side in align]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in [head, rule, *rows])
