"""The paper's tables with what was measured beside each number, one set of them for each scale that was trained at."""

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from itersep.report.markdown import UNKNOWN, format_mean, render_table
from paper.figures import answers_figure_name, compute_figure_name, inference_figure_name
from paper.questions import answer_questions, render_answers
from paper.rows import PaperRow
from paper.scales import Compared, Run, Runs, Scale, mean_over_seeds

NOT_RUN = "not run"
COLUMNS = ("row", "blocks", "trained", "inference", "options", "paper", "ours [95 %]", "difference", "seeds (sd)")
COLUMNS += ("reassigned", "parameters", "GMAC/s")
EXPLANATION = (
    "SI-SDR in dB. *blocks*: SIMO + SISO. *trained*, *inference*: iterations. *ours*: mean over mixtures and seeds "
    "with its 95 % interval over mixtures. *sd*: standard deviation of the seeds' means. *reassigned*: mixtures whose "
    "speakers change places from the iteration before. *GMAC/s*: 10^9 multiply-accumulates a second of audio, in "
    "convolutions, linear layers and LSTMs, all inference iterations together."
)


def render_paper(compared: Compared, figures: str) -> Iterator[str]:
    """Markdown of the tables, answers to the paper's questions, and for each row the yaml and the command behind it.

    The first scale's tables have all rows, those of others the rows that were run.

    Args:
        compared: rows and runs
        figures: the folder with the figures, as seen from the page
    """
    paper = compared.paper
    for place, (scale, runs) in enumerate(compared.scales.items()):
        rows = [row for row in paper.rows if place == 0 or row.name in runs]  # what was not run is told once
        overlays = _overlays(runs)
        at = _name_scale(scale, overlays)
        yield f"## The paper's tables{at}"
        yield _describe_scale(scale) if runs else "No row has been run."
        yield EXPLANATION
        for table, title in paper.titles.items():
            numbers = [number for number in paper.table(table) if number[0] in rows]
            lines = [_number_line(row, i, value, runs.get(row.name, [])) for row, i, value in numbers]
            if lines:
                yield f"### Table {table}{at}: {title}"
                yield render_table(COLUMNS, "llrrlrrrrrrr", lines)
        if runs:
            yield f"![SI-SDR against compute, the paper's and ours]({figures}/{compute_figure_name(place)})"
        if any(row.is_swept and row.name in runs for row in rows):
            figure = f"{figures}/{inference_figure_name(place)}"
            yield f"![SI-SDR after each inference iteration, the paper's and ours]({figure})"
        if answers := answer_questions(paper.questions, runs):
            yield f"### The paper's questions{at}"
            yield from render_answers(answers)
            yield f"![Answers, the paper's and ours]({figures}/{answers_figure_name(place)})"
        yield f"### What is behind the numbers{at}"
        lines = [line for row in rows for line in _row_lines(row, runs.get(row.name, []), overlays)]
        head = ["row", "yaml", "experiment", "epochs", "precision", "config.yaml", "command"]
        yield render_table(head, "lllllll", lines)


def _name_scale(scale: Scale, overlays: list[str]) -> str:
    if overlays:
        return f" with {', '.join(overlays)}"
    return " at another scale" if scale.differences else "" if scale.fresh else " with rendered mixtures"


def _describe_scale(scale: Scale) -> str:
    drawn = "drawn anew in every epoch, where the paper's are" if scale.fresh else "as the paper's,"
    kept = f"**Not the paper's scale:** {', '.join(scale.differences)}" if scale.differences else "At the paper's scale"
    return f"{kept} (`{scale.test_set}`). Training mixtures are {drawn} rendered once."


def _number_line(row: PaperRow, iterations: int, paper_db: float, runs: Sequence[Run]) -> list[str]:
    model = row.config["model"]
    return [
        f"`{row.name}`",
        f"{model['separator']['simo_blocks']} + {model['separator']['siso_blocks']}",
        str(row.trained_for),
        str(iterations),
        _options(row.config) or UNKNOWN,
        f"{paper_db:.1f}",
        *_measured(runs, iterations, paper_db),
        f"{row.parameters:,}",
        f"{row.gmacs(iterations):.2f}",
    ]


def _options(config: dict[str, Any]) -> str:
    model, objective = config["model"], config["objective"]
    options = ["detached" if model["detach"] else "not detached"] if model["iterations"] > 1 else []
    options += [] if model["share_simo"] else ["own SIMO"]
    options += ["layer-wise"] if objective["layerwise"] else []
    return ", ".join(options + (["oracle bias"] if objective["oracle_bias"] else []))


def _measured(runs: Sequence[Run], iterations: int, paper_db: float) -> list[str]:
    """Cells on ours, difference, seeds and reassigned."""
    rows = [row for run in runs if (row := run.scored.row(iterations)) and row["si_sdr_db"]["mean"] is not None]
    ours = mean_over_seeds(runs, iterations)
    if ours.mean is None:
        return [NOT_RUN, UNKNOWN, UNKNOWN, UNKNOWN]
    spread = f" ({statistics.stdev(row['si_sdr_db']['mean'] for row in rows):.2f})" if len(rows) > 1 else ""
    changed = [row["changed_rate"] for row in rows if row["changed_rate"] is not None]
    return [
        format_mean(vars(ours)),
        f"{ours.mean - paper_db:+.2f}",
        f"{len(rows)}{spread}",
        f"{100 * statistics.fmean(changed):.1f} %" if changed else UNKNOWN,
    ]


def _overlays(runs: Runs) -> list[str]:
    """What makes the scale of these runs, if it is the same for all: yaml files, but for seeds', and options."""
    records = [run.record for same in runs.values() for run in same]
    overlays = [
        [path for path in record.config_files[2:] if "conf/seed/" not in path] + record.overrides for record in records
    ]
    return overlays[0] if overlays and all(one == overlays[0] for one in overlays) else []


def _row_lines(row: PaperRow, runs: Sequence[Run], overlays: list[str]) -> Iterator[list[str]]:
    if not runs:
        scale = "".join(f" --scale {path}" for path in overlays)
        is_command = len(overlays) < 2 and not scale.startswith(" --scale --")  # which takes one yaml
        command = f"`./tables.sh --row {row.name}{scale}`" if is_command else UNKNOWN
        yield [f"`{row.name}`", _code([*row.configs, *overlays]), NOT_RUN, UNKNOWN, UNKNOWN, UNKNOWN, command]
    for record, scored in ((run.record, run.scored) for run in runs):
        configs = record.config_files or row.configs
        most = max(line["iteration"] for line in scored.summary["iterations"])
        recipe = f"./run.sh --stage 2 --config {','.join(configs)} --iterations {most}"
        epochs = f"{len(record.history)} of {record.config['train']['epochs']}, best {record.best_epoch.get('epoch')}"
        yield [
            f"`{row.name}`",
            _code([*configs, *record.overrides]),
            f"`{record.name}`",
            epochs if record.history else UNKNOWN,
            record.run.get("precision", UNKNOWN),
            f"`{record.config_digest}`",
            f"`{record.run['command'] if record.overrides else recipe}`",  # run.sh hands on no options
        ]


def _code(paths: Sequence[str]) -> str:
    return ", ".join(f"`{path}`" for path in paths)
