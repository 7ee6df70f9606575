"""Figures of the report. Equal input gives equal files."""

import io
from collections.abc import Sequence
from math import nan
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from itersep.report.experiment import (
    ExperimentRecord,
    bins_figure_name,
    group_by_set,
    set_figure_name,
    stopping_figure_name,
    training_figure_name,
)
from itersep.report.markdown import NO_MEAN
from itersep.report.tables import (
    Tried,
    all_rows,
    binned_metrics,
    found_metrics,
    stopped_metrics,
    with_bins,
    with_stopping,
)
from itersep.score.bins import AXES
from itersep.score.registry import Metric, figure_metrics
from itersep.system.files import write_aside

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # told apart by the colour-blind
STYLES = ("-", "--", ":", "-.", (0, (6, 2, 1, 2, 1, 2)))
MARKERS = ("o", "^", "s", "D")
PALETTE = 64  # colours of a picture
MOST_BANDS = len(COLOURS)  # intervals of more lines hide them
INK, GREY, GRID = "#222222", "#767676", "#e6e6e6"


def draw_figures(records: Sequence[ExperimentRecord], beside: Path) -> None:
    """Draw each experiment's figures into its own folder, and those of the results page into ``beside``."""
    for name, tried in group_by_set(records).items():
        for metric in found_metrics(figure_metrics(), all_rows(tried)):
            plot_scores(beside / set_figure_name(name, metric), tried, metric)
            for one in tried:
                plot_scores(one[1].folder / f"{metric.stem}_over_iterations.png", [one], metric)
        for metric in stopped_metrics(tried):
            plot_stopping(beside / stopping_figure_name(name, metric), tried, metric)
        for metric in binned_metrics(tried):
            plot_bins(beside / bins_figure_name(name, metric), tried, metric)
            for one in tried:
                plot_bins(one[1].folder / f"{metric.stem}_in_bins.png", [one], metric)
    for record in records:
        if record.history:
            plot_training(beside / training_figure_name(record.name), record)
            plot_training(record.folder / "training_curves.png", record)


def plot_scores(path: Path, tried: Tried, metric: Metric) -> None:
    """A metric after each inference iteration, as `draw_scores` does."""
    figure, axes = new_figure(len(tried))
    draw_scores(axes, tried, metric)
    told = f"mean {metric.title}" + " and its 95 % interval" * (len(tried) <= MOST_BANDS)
    finish(figure, path, f"{tried[0][1].name}: {told}", legend=len(tried) > 1)


def plot_stopping(path: Path, tried: Tried, metric: Metric) -> None:
    """A metric against mean iterations used, as `draw_stopping` does; draws nothing without its scores."""
    tried = with_stopping(tried)
    if not tried:
        return
    figure, axes = new_figure(len(tried) + 1)
    draw_stopping(axes, tried, metric)
    finish(figure, path, f"{tried[0][1].name}: what iterations buy", legend=True)


def plot_bins(path: Path, tried: Tried, metric: Metric) -> None:
    """A metric in bins of overlap, T60 and noise, as `draw_bins` does; draws nothing without bins."""
    tried = with_bins(tried)
    if not tried:
        return
    figure = Figure(figsize=(10.5, height_in(len(tried) + 1)), layout="constrained")
    panels = figure.subplots(1, len(AXES), sharey=True)
    for axes, key in zip(panels, AXES, strict=True):
        draw_bins(axes, key, tried, metric)
    for axes in panels[1:]:
        axes.set_ylabel("")
    finish(figure, path, f"{tried[0][1].name}: {metric.title} by overlap, reverberation and noise", legend=True)


def plot_training(path: Path, record: ExperimentRecord) -> None:
    """Loss over epochs, as `draw_training` does."""
    figure, axes = new_figure()
    draw_training(axes, record)
    finish(figure, path, f"{record.name}: loss while training", legend=True)


def draw_scores(axes: Axes, tried: Tried, metric: Metric) -> None:
    """A metric after each inference iteration, one line an experiment; of a few, with the 95 % interval as a band."""
    style_axes(axes)
    longest = 1
    for k, (name, scored) in enumerate(tried):
        means = {i: mean for i in scored.separated if (mean := scored.mean(i, metric.name)) is not None}
        if not means:
            continue
        iterations, rows = list(means), [scored.row(i)[metric.name] for i in means]
        low, high = ([row[end] or row["mean"] for row in rows] for end in ("low", "high"))
        look = line_look(k)
        axes.plot(iterations, list(means.values()), label=name, zorder=3, **look)
        if len(rows) > 1 and len(tried) <= MOST_BANDS:
            axes.fill_between(iterations, low, high, color=look["color"], alpha=0.15, linewidth=0)
        elif len(tried) <= MOST_BANDS:
            axes.vlines(iterations, low, high, color=look["color"], alpha=0.4)
        longest = max(longest, *iterations)
    axes.set_xlim(0.75, longest + 0.25)
    _draw_mixtures(axes, tried, metric)
    axes.set_xticks(range(1, longest + 1))
    axes.set_xlabel("inference iterations")
    axes.set_ylabel(metric.axis)


def draw_stopping(axes: Axes, tried: Tried, metric: Metric) -> None:
    """A metric against mean iterations used, a point for each threshold of change, beside the same number for all."""
    style_axes(axes)
    for k, (name, scored) in enumerate(tried):
        look = line_look(k)
        stopped = scored.summary.get("stopping") or []
        rows = [row for row in stopped if row.get(metric.name, NO_MEAN)["mean"] is not None]
        fixed = {i: mean for i in scored.separated if (mean := scored.mean(i, metric.name)) is not None}
        grey = {**look, "color": GREY, "marker": "s", "markersize": 4, "linewidth": 1}
        axes.plot(list(fixed), list(fixed.values()), label=None if k else "as many for all", **grey)
        axes.plot([row["mean_iterations"] for row in rows], [row[metric.name]["mean"] for row in rows],
                  label=f"{name}, until change", **look)  # fmt: skip
    axes.set_xlabel("mean iterations used")
    axes.set_ylabel(metric.axis)


def draw_bins(axes: Axes, key: str, tried: Tried, metric: Metric) -> None:
    """A metric in the bins of one of `AXES`, after the last iteration trained for, and that of the mixtures."""
    style_axes(axes)
    axis = AXES[key]
    for k, (name, scored) in enumerate(tried):
        bins = (scored.summary.get("bins") or {}).get(key, [])
        grey = {"color": GREY, "linestyle": (0, (4, 3)), "linewidth": 1}
        for iteration, look in ((0, grey), (scored.final, line_look(k))):
            rows = [row for one in bins for row in one["iterations"] if row["iteration"] == iteration]
            means = [row.get(metric.name, NO_MEAN)["mean"] for row in rows]
            values = [nan if mean is None else mean for mean in means]
            label = name if iteration else "mixture" if k == 0 else None
            axes.plot(range(len(values)), values, label=label, **look)
    axes.set_xticks(range(len(axis.labels())), axis.labels(), fontsize=8)
    axes.set_xlim(-0.4, len(axis.labels()) - 0.6)
    axes.set_xlabel(f"{axis.title} ({axis.unit})")
    axes.set_ylabel(metric.axis)


def draw_training(axes: Axes, record: ExperimentRecord) -> None:
    """Training and validation loss over epochs; the epoch with the lowest of the latter is marked."""
    style_axes(axes)
    epochs = [line["epoch"] for line in record.history]
    marker = "o" if len(epochs) < 3 else ""
    for name, label, colour in (("train_loss", "training", COLOURS[1]), ("valid_loss", "validation", COLOURS[0])):
        axes.plot(epochs, [line[name] for line in record.history], color=colour, marker=marker, label=label)
    best = record.best_epoch
    axes.plot(best["epoch"], best["valid_loss"], "o", color=COLOURS[0], markersize=7, label="lowest")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss (dB)")


def _draw_mixtures(axes: Axes, tried: Tried, metric: Metric) -> None:
    """A dashed line at the unprocessed mixtures' mean (several, if experiments saw different mixtures)."""
    levels = {round(mean, 2) for _, scored in tried if (mean := scored.mean(0, metric.name)) is not None}
    for level in sorted(levels):
        axes.axhline(level, color=GREY, linestyle=(0, (4, 3)), linewidth=1)
        axes.annotate("mixture", (1, level), (-2, 4), xycoords=("axes fraction", "data"), textcoords="offset points",
                      ha="right", color=GREY, fontsize=9)  # fmt: skip


def line_look(k: int) -> dict[str, Any]:
    """Colour, line style and marker of the k-th experiment; there are 120."""
    styled, colour = divmod(k, len(COLOURS))
    marked, style = divmod(styled, len(STYLES))
    marker = MARKERS[marked % len(MARKERS)]
    return {"color": COLOURS[colour], "linestyle": STYLES[style], "marker": marker, "markersize": 5}


def height_in(lines: int) -> float:
    """Of a figure whose legend has so many lines, in inches."""
    return max(3.6, 0.6 + 0.2 * lines)


def new_figure(lines: int = 1) -> tuple[Figure, Axes]:
    """A figure with one plot, high enough for a legend of so many lines, and wide enough if it has many."""
    figure = Figure(figsize=(6 if lines <= MOST_BANDS else 9, height_in(lines)), layout="constrained")
    return figure, figure.add_subplot()


def style_axes(axes: Axes) -> None:
    """The look of all plots."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(colors=GREY, labelcolor=INK, labelsize=9)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.margins(y=0.08)


def finish(figure: Figure, path: Path, title: str, legend: bool) -> None:
    """Write a figure with a title and, if asked for, the legend of its first plot on the right."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=INK)
    if legend:
        lines = figure.axes[0].get_legend_handles_labels()
        figure.legend(*lines, loc="outside right center", frameon=False, fontsize=9, handlelength=3.5, labelcolor=INK)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=160, metadata={"Software": None})
    with write_aside(path) as aside, Image.open(drawn) as image:
        # A palette: lines of a dozen colours take a third of the bytes that full colour does.
        image.convert("RGB").quantize(PALETTE, dither=Image.Dither.NONE).save(aside, "png", optimize=True)
