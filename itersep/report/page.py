"""The page to look at and listen to: tables, figures, players, all in one file that needs no network."""

import base64
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from itersep.report.experiment import ExperimentRecord, group_by_set
from itersep.report.figures import draw_bins, draw_scores, draw_stopping, draw_training
from itersep.report.listen import check_names, collect_examples
from itersep.report.markdown import UNKNOWN, format_half_width
from itersep.report.svg import draw_key, draw_svg
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
from itersep.score.bins import AXES
from itersep.score.registry import METRICS, Metric, figure_metrics
from itersep.score.summary import RANKED_BY
from itersep.system.files import write_text

TEMPLATE = Path(__file__).parent / "template"
WIDE, NARROW = (4.4, 2.9), (3.5, 2.5)  # inches, of which the letters' size follows


def write_pages(records: Sequence[ExperimentRecord], results: Path, named: Sequence[str] = ()) -> list[Path]:
    """Write exp/<name>/report/index.html of each experiment that is scored, and that of all of them beside RESULTS.md.

    Args:
        records: experiments; those without scores have no page of their own
        results: the markdown page; the comparison has its name, with the suffix .html
        named: mixtures to hear, beside the best, median and worst

    Returns the files. Raises UserError for a name that no experiment was scored on, or scores that are broken.
    """
    check_names(records, named)
    pages = {record.folder / "report" / "index.html": [record] for record in records if record.sets}
    if len(records) > 1:
        pages[results.with_suffix(".html")] = list(records)
    for path, shown in pages.items():
        write_text(path, render_page(shown, named))
    return list(pages)


def render_page(records: Sequence[ExperimentRecord], named: Sequence[str] = ()) -> str:
    """The HTML of a page on one experiment, or on several to compare; equal files give equal text."""
    blocks = {"trim_blocks": True, "lstrip_blocks": True}
    environment = Environment(loader=FileSystemLoader(TEMPLATE), autoescape=True, undefined=StrictUndefined, **blocks)
    environment.filters |= {"prose": _prose, "number": _number, "breakable": _breakable, "base64": _base64}
    return environment.get_template("page.html").render(
        style=Markup((TEMPLATE / "style.css").read_text(encoding="utf-8")),
        script=Markup((TEMPLATE / "player.js").read_text(encoding="utf-8")),
        highlights=_highlights(records[0]) if len(records) == 1 else {},
        sets=[_describe_set(name, tried, named) for name, tried in group_by_set(records).items()],
        training=training_table(records),
        experiments=[_describe_experiment(record) for record in records],
    )


def _highlights(record: ExperimentRecord) -> dict[str, str]:
    """What a reader wants to know of one experiment before all else."""
    facts = {}
    for scored in record.sets:
        if scored.mean(scored.final, RANKED_BY) is not None:
            gain = format_half_width(scored.row(scored.final)[RANKED_BY])
            facts[f"{METRICS[RANKED_BY].title} on {scored.name}"] = f"{gain} dB"
    _, parameters, iterations, epochs, _, time, *_ = training_table([record]).rows[0]
    facts |= {"Iterations in training": iterations, "Parameters": parameters, "Epochs (best)": epochs}
    facts["Training time"] = time
    return {name: value for name, value in facts.items() if value != UNKNOWN}


def _describe_set(name: str, tried: Tried, named: Sequence[str]) -> dict[str, Any]:
    metrics = found_metrics(figure_metrics(), all_rows(tried))
    silence = silence_table(tried)
    return {
        "name": name,
        "explanation": explain_scores(tried),
        "scores": score_table(tried),
        "left_out": list_left_out(tried),
        "figures": {metric.title: _draw_scores(name, tried, metric) for metric in metrics},
        "legend": [(draw_key(k), experiment) for k, (experiment, _) in enumerate(tried)],
        "silence": {"explanation": explain_silence(), "table": silence} if silence else {},
        "stopping": _describe_stopping(name, tried) if with_stopping(tried) else {},
        "bins": [_describe_bins(name, tried, metric) for metric in binned_metrics(tried) if with_bins(tried)],
        "listening": collect_examples(tried, named),
    }


def _draw_scores(name: str, tried: Tried, metric: Metric) -> Markup:
    draw = partial(draw_scores, tried=tried, metric=metric)
    return draw_svg(f"{metric.title} after each iteration on {name}", draw, *WIDE)


def _describe_stopping(name: str, tried: Tried) -> dict[str, Any]:
    return {
        "explanation": STOPPING_EXPLANATION,
        "table": stopping_table(tried),
        "figures": [
            draw_svg(
                f"{metric.title} against iterations used on {name}",
                partial(draw_stopping, tried=tried, metric=metric),
                *WIDE,
            )
            for metric in stopped_metrics(tried)
        ],
    }


def _describe_bins(name: str, tried: Tried, metric: Metric) -> dict[str, Any]:
    tables = bin_tables(tried, metric)
    figures = [
        draw_svg(
            f"{metric.title} by {AXES[key].title} on {name}",
            partial(draw_bins, key=key, tried=tried, metric=metric),
            *NARROW,
        )
        for key in tables
    ]
    return {"explanation": explain_bins(metric), "figures": figures, "tables": tables.values()}


def _describe_experiment(record: ExperimentRecord) -> dict[str, Any]:
    name, draw = f"Loss of {record.name} over epochs", partial(draw_training, record=record)
    config = record.folder / "config.yaml"
    return {
        "name": record.name,
        "figure": draw_svg(name, draw, *WIDE, legend=True) if record.history else "",
        "commands": list_commands(record),
        "config": config.read_text(encoding="utf-8") if config.exists() else "",
    }


def _prose(text: str) -> Markup:
    """Text in which *stressed* and `code` are marked as in markdown."""
    marked = re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text)))
    return Markup(re.sub(r"\*([^*]+)\*", r"<em>\1</em>", marked))


def _number(text: str) -> Markup:
    """A table's number with a true minus sign, and its interval set apart."""
    signed = re.sub(r"-(?=\d)", "−", str(escape(text)))
    return Markup(re.sub(r"(\[.*\]|± .*)", r'<span class="interval">\1</span>', signed))


def _breakable(name: str) -> Markup:
    """A name that may go over to the next line after an underscore."""
    return Markup(str(escape(name)).replace("_", "_<wbr>"))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
