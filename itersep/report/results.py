"""RESULTS.md: what was measured, of what, and the commands that measure it again."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from itersep.report.experiment import (
    ExperimentRecord,
    ScoredSet,
    bins_figure_name,
    group_by_set,
    set_figure_name,
    stopping_figure_name,
    training_figure_name,
)
from itersep.report.figures import draw_figures
from itersep.report.markdown import render_table
from itersep.report.page import write_pages
from itersep.report.tables import (
    STOPPING_EXPLANATION,
    Tried,
    all_rows,
    bin_tables,
    binned_metrics,
    explain_bins,
    explain_scores,
    explain_silence,
    found_metrics,
    list_commands,
    list_left_out,
    score_table,
    silence_table,
    stopped_metrics,
    stopping_table,
    training_table,
    with_bins,
    with_stopping,
)
from itersep.score.registry import figure_metrics
from itersep.system.files import write_text


def render_results(records: Sequence[ExperimentRecord], figures: str, command: str, first: Iterable[str] = ()) -> str:
    """The markdown of RESULTS.md.

    Args:
        records: the experiments, in the order of the tables' rows
        figures: the folder with the figures, as seen from the page
        command: that of the report
        first: paragraphs of a recipe's own that come first
    """
    parts = [f"# Results\n\nMade from the experiments' files by `{command}`: run it again rather than edit this."]
    parts += first
    for name, tried in group_by_set(records).items():
        parts += _render_set(name, tried, figures)
        parts += _render_silence(name, tried)
        parts += _render_stopping(name, tried, figures)
        parts += _render_bins(name, tried, figures)
    parts += ["## Training", render_table(*training_table(records))]
    for record in records:
        parts += _render_experiment(record, f"{figures}/{training_figure_name(record.name)}")
    return "\n\n".join(parts) + "\n"


def write_results(
    records: Sequence[ExperimentRecord], page: Path, command: str, first: Iterable[str] = (), named: Sequence[str] = ()
) -> Iterator[Path]:
    """Write RESULTS.md with its figures, and the pages to listen to; yields each page once it is there.

    Args:
        records: the experiments, in the order of the tables' rows
        page: file to write; its figures lie in a folder beside it (RESULTS.md: results/)
        command: that of the report
        first: paragraphs of a recipe's own that come first
        named: mixtures to hear besides the best, median and worst

    Raises UserError for a name in ``named`` that no experiment was scored on.
    """
    figures = figures_folder(page)
    draw_figures(records, figures)
    write_text(page, render_results(records, figures.name, command, first))
    yield page
    yield from write_pages(records, page, named)


def figures_folder(page: Path) -> Path:
    """The folder with the figures of a page."""
    return page.with_name(page.stem.lower())


def _render_set(name: str, tried: Tried, figures: str) -> Iterator[str]:
    yield f"## {name}"
    yield explain_scores(tried)
    yield render_table(*score_table(tried))
    if left_out := list_left_out(tried):
        yield "\n".join(left_out)
    for metric in found_metrics(figure_metrics(), all_rows(tried)):
        yield f"![{metric.title} after each iteration on {name}]({figures}/{set_figure_name(name, metric)})"


def _render_silence(name: str, tried: Tried) -> Iterator[str]:
    if table := silence_table(tried):
        yield f"### {name}: mixtures with silent speakers"
        yield explain_silence()
        yield render_table(*table)


def _render_stopping(name: str, tried: Tried, figures: str) -> Iterator[str]:
    if with_stopping(tried):
        yield f"### {name}: iterations that end where they change little"
        yield STOPPING_EXPLANATION
        yield render_table(*stopping_table(tried))
        for metric in stopped_metrics(tried):
            yield f"![{metric.title} against iterations used on {name}]({figures}/{stopping_figure_name(name, metric)})"


def _render_bins(name: str, tried: Tried, figures: str) -> Iterator[str]:
    if not with_bins(tried):
        return
    yield f"### {name} in bins"
    for metric in binned_metrics(tried):
        yield explain_bins(metric)
        yield from (render_table(*table) for table in bin_tables(tried, metric).values())
        yield f"![{metric.title} in bins on {name}]({figures}/{bins_figure_name(name, metric)})"


def _render_experiment(record: ExperimentRecord, figure: str) -> Iterator[str]:
    yield f"### {record.name}"
    if commands := list_commands(record):
        yield "```sh\n" + "\n".join(commands) + "\n```"
    for scored in record.sets:
        if scored.summary["listen"]:
            yield _where_to_listen(scored)
    if record.history:
        yield f"![Training curves of {record.name}]({figure})"


def _where_to_listen(scored: ScoredSet) -> str:
    """The mixtures worth hearing, by SI-SDRi after an iteration, and their files."""
    rows = [
        [rank, f"{at['si_sdri_db']:+.2f}", f"`{at['mixture']}`", "<br>".join(f"`{file}`" for file in at["estimates"])]
        for rank, at in scored.summary["listen"].items()
    ]
    last = scored.summary["iterations"][-1]["iteration"]
    iteration = scored.summary["listen"]["best"].get("iteration", last)  # which older summaries do not tell
    head = [f"to hear of {scored.name}", f"SI-SDRi, iteration {iteration}", "mixture", "separated"]
    return render_table(head, "lrll", rows)
