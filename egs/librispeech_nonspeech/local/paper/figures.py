"""Figures of a paper's rows beside what was measured: by compute, by inference iterations, and answers to questions."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from itersep.report.figures import COLOURS, GREY, INK, finish, height_in, line_look, style_axes
from paper.questions import BY_ONE_SEED, Answer, answer_questions
from paper.rows import PaperRow
from paper.scales import Compared, Runs, mean_over_seeds

TREND_COLOURS = {"agrees": COLOURS[0], "disagrees": COLOURS[1]}  # what can't be told is grey
LINEAR_DB = 1  # differences beyond are drawn on a logarithmic scale: the paper's are 0.1 to 6 dB
TICKS_DB = (-5, -2, -1, -0.5, 0, 0.5, 1, 2, 5)


def draw_paper_figures(compared: Compared, beside: Path) -> None:
    """Draw the figures of each scale at which rows were run into the folder ``beside``."""
    for place, runs in enumerate(compared.scales.values()):
        rows = [row for row in compared.paper.rows if row.name in runs]
        if rows:
            plot_compute(beside / compute_figure_name(place), rows, runs)
        if swept := [row for row in rows if row.is_swept]:
            plot_inference(beside / inference_figure_name(place), swept, runs)
        if answers := answer_questions(compared.paper.questions, runs):
            plot_answers(beside / answers_figure_name(place), answers)


def compute_figure_name(place: int) -> str:
    """File name beside the results page of a paper's rows by compute, at the place-th scale."""
    return f"paper{place + 1}_sisdr_by_compute.png"


def inference_figure_name(place: int) -> str:
    """File name beside the results page of a paper's rows by inference iterations, at the place-th scale."""
    return f"paper{place + 1}_sisdr_by_inference_iterations.png"


def answers_figure_name(place: int) -> str:
    """File name beside the results page of the answers to a paper's questions, at the place-th scale."""
    return f"paper{place + 1}_answers.png"


def plot_compute(path: Path, rows: Sequence[PaperRow], runs: Runs) -> None:
    """SI-SDR of rows against their multiply-accumulates, after each iteration that they were trained for."""
    figure = _draw_both(rows, runs, lambda row: range(1, row.trained_for + 1), PaperRow.gmacs)
    _mark_compute(figure.axes)
    finish(figure, path, "SI-SDR against compute, iteration by iteration", legend=True)


def plot_inference(path: Path, rows: Sequence[PaperRow], runs: Runs) -> None:
    """SI-SDR of rows after each inference iteration that the paper tells of, also beyond those of training."""
    figure = _draw_both(rows, runs, lambda row: sorted(row.values), lambda row, iterations: iterations)
    figure.axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in figure.axes:
        axes.set_xlabel("inference iterations")
    finish(figure, path, "SI-SDR after each inference iteration; hollow: more than in training", legend=True)


def _draw_both(
    rows: Sequence[PaperRow],
    runs: Runs,
    iterations: Callable[[PaperRow], Iterable[int]],
    place: Callable[[PaperRow, int], float],
) -> Figure:
    """Rows after some of their iterations, the paper's and ours side by side: a line each, from left to right by place.

    Both plots span as many dB.
    """
    figure = Figure(figsize=(10.5, height_in(len(rows) + 1)), layout="constrained")
    theirs, ours = figure.subplots(1, 2, sharex=True)
    for axes, title in ((theirs, "the paper"), (ours, "here: mean over seeds, and each seed")):
        style_axes(axes)
        axes.set_title(title, loc="left", fontsize=9, color=INK)
    theirs.set_ylabel("SI-SDR (dB)")
    for k, row in enumerate(rows):
        x = {i: place(row, i) for i in iterations(row)}
        said = {i: row.values[i] for i in x if i in row.values}
        means = {i: mean for i in x if (mean := mean_over_seeds(runs[row.name], i).mean) is not None}
        for axes, values in ((theirs, said), (ours, means)):
            axes.plot([x[i] for i in values], list(values.values()), label=row.name, **line_look(k))
            beyond = [i for i in values if i > row.trained_for]
            axes.plot([x[i] for i in beyond], [values[i] for i in beyond], "o", color="white", markersize=3, zorder=3)
        for run in runs[row.name]:
            own = {i: mean for i in means if (mean := mean_over_seeds([run], i).mean) is not None}
            ours.plot([x[i] for i in own], own.values(), "_", color=line_look(k)["color"], markersize=9)
    _span_alike(theirs, ours)
    return figure


def plot_answers(path: Path, answers: Mapping[str, Sequence[Answer]]) -> None:
    """The differences that answer a paper's questions: ours with their intervals and each seed's, and the paper's."""
    lines: list[tuple[str, Answer | None]] = []
    for question, given in answers.items():
        lines.append((question, None))
        lines += [(_name(answer), answer) for answer in given]
    figure = Figure(figsize=(10.5, 1.0 + 0.22 * len(lines)), layout="constrained")
    axes = figure.add_subplot()
    style_axes(axes)
    axes.grid(axis="y", visible=False)
    axes.axvline(0, color=GREY, linewidth=1)
    for y, (_, answer) in enumerate(lines):
        if answer is not None:
            _draw_answer(axes, y, answer)
    axes.set_yticks(range(len(lines)), [text for text, _ in lines], fontsize=8)
    for label, (_, answer) in zip(axes.get_yticklabels(), lines, strict=True):
        label.set_fontweight("bold" if answer is None else "normal")
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_xscale("symlog", linthresh=LINEAR_DB)
    axes.xaxis.set_major_locator(FixedLocator(TICKS_DB))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.xaxis.set_major_formatter("{x:+g}")
    axes.set_xlabel(f"difference in SI-SDR (dB), logarithmic beyond {LINEAR_DB} dB")
    for label, look in (
        ("here, agrees", {"marker": "o", "color": COLOURS[0]}),
        ("here, disagrees", {"marker": "o", "color": COLOURS[1]}),
        ("here, can't be told", {"marker": "o", "color": GREY}),
        ("each seed", {"marker": "|", "color": INK}),
        ("the paper", {"marker": "D", "color": INK, "markerfacecolor": "none"}),
    ):
        axes.plot([], [], linestyle="", markersize=5, label=label, **look)
    finish(figure, path, "The paper's questions: what the second has more than the first", legend=True)


def _draw_answer(axes: Axes, y: int, answer: Answer) -> None:
    colour = TREND_COLOURS.get(answer.trend.removesuffix(BY_ONE_SEED), GREY)
    if answer.ours.low is not None:
        axes.hlines(y, answer.ours.low, answer.ours.high, color=colour, linewidth=2)
    axes.plot(answer.ours.mean, y, "o", color=colour, markersize=5)
    axes.plot(answer.by_seed, [y] * len(answer.by_seed), "|", color=INK, markersize=7)
    axes.plot(answer.paper_db, y, "D", color=INK, markerfacecolor="none", markersize=5)


def _name(answer: Answer) -> str:
    first, second = (f"{number.row.name} {number.iterations}" for number in (answer.first, answer.second))
    return f"{first} → {second}"


def _span_alike(*plots: Axes) -> None:
    """Have plots of different levels show as many dB, so that slopes can be compared."""
    limits = [axes.get_ylim() for axes in plots]
    half = max(high - low for low, high in limits) / 2
    for axes, (low, high) in zip(plots, limits, strict=True):
        axes.set_ylim((low + high) / 2 - half, (low + high) / 2 + half)


def _mark_compute(plots: Sequence[Axes]) -> None:
    """Name and mark the axis that the plots share."""
    for axes in plots:
        axes.set_xlabel("10⁹ multiply-accumulates a second of audio")
    axes = plots[0]
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    ticks = [tick for tick in (0.25, 0.5, 1, 2, 4, 8, 16, 32) if low <= tick <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.xaxis.set_major_formatter("{x:g}")
