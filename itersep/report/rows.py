"""The tables of the report, as cells that a page of markdown or HTML lays out."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from itersep.report.bins import AXES
from itersep.report.experiment import ExperimentRecord, ScoredSet
from itersep.report.markdown import UNKNOWN, format_duration, format_half_width, format_mean
from itersep.report.summary import METRICS

Tried = Sequence[tuple[str, ScoredSet]]  # the experiments that were scored on one set, by name
BINS_EXPLANATION = (
    "Mean SI-SDR in dB and its 95 % interval, in bins of what was drawn for the mixtures, "
    "after the last iteration that the model was trained for."
)


class Table(NamedTuple):
    """A table; ``align`` has an l or r for each column. Text between backticks is code."""

    head: Sequence[str]
    align: str
    rows: Sequence[Sequence[str]]


def explain_scores(summary: dict[str, Any]) -> str:
    """What the numbers of a set's table are; *stressed* and `code` as in markdown."""
    return (
        f"{summary['mixtures']} mixtures of {summary['speakers']} speakers (`{summary['data']}`). Means in dB "
        f"[{summary['interval']}]. SI-SDRi is SI-SDR less that of the mixture; SDR allows a filter of 512 taps "
        "(BSS Eval). Outputs are assigned to speakers after each iteration by the best SI-SDR; *reassigned* are the "
        "mixtures whose assignment differs from the iteration before."
    )


def score_table(tried: Tried) -> Table:
    """Scores after every iteration; those of the mixture once, unless another experiment was scored on others."""
    rows: list[list[str]] = []
    for experiment, scored in tried:
        for row in scored.summary["iterations"]:
            cells = [format_mean(row[metric]) for metric in METRICS]
            if row["iteration"] == 0:
                line = ["mixture", "0", cells[0], UNKNOWN, cells[2], UNKNOWN]
                if line not in rows:
                    rows.append(line)
            else:
                changed = UNKNOWN if row["changed_rate"] is None else f"{100 * row['changed_rate']:.1f} %"
                rows.append([experiment, str(row["iteration"]), *cells, changed])
    return Table(["experiment", "iterations", "SI-SDR", "SI-SDRi", "SDR", "reassigned"], "lrrrrr", rows)


def list_left_out(tried: Tried) -> list[str]:
    """A line for each experiment whose means leave silent signals out."""
    lines = []
    for experiment, scored in tried:
        kinds = {"silent_references": "silent references", "silent_estimates": "silent estimates with their mixtures"}
        named = [f"{len(scored.summary[key])} {what}" for key, what in kinds.items() if scored.summary[key]]
        if named:
            lines.append(f"{experiment}: left out of the means, as no ratio is defined: {' and '.join(named)}.")
    return lines


def with_bins(tried: Tried) -> Tried:
    """The experiments whose scores are in bins."""
    return [(name, scored) for name, scored in tried if scored.summary.get("bins")]


def bin_tables(tried: Tried) -> dict[str, Table]:
    """Axis -> mean SI-SDR in its bins: of the mixtures, and after the last iteration that a model was trained for."""
    tables = {}
    for key, axis in AXES.items():
        rows: list[list[str]] = []
        for name, scored in with_bins(tried):
            bins = scored.summary["bins"].get(key, [])
            counts = ["number of mixtures", "", *(str(one["mixtures"]) for one in bins)]
            unprocessed = ["mixture", "0", *_bin_cells(bins, 0)]
            rows += [line for line in (counts, unprocessed) if bins and line not in rows]
            rows += [[name, str(scored.final), *_bin_cells(bins, scored.final)]] if bins else []
        if rows:
            head = [f"{axis.title} in {axis.unit}", "iterations", *axis.labels()]
            tables[key] = Table(head, "lr" + "r" * len(axis.labels()), rows)
    return tables


def training_table(records: Sequence[ExperimentRecord]) -> Table:
    """How each experiment was trained."""
    head = ["experiment", "parameters", "iterations", "epochs (best)", "mixtures", "time", "machine", "commit"]
    return Table([*head, "config.yaml"], "lrrrrrlll", [_training_row(record) for record in records])


def list_commands(record: ExperimentRecord) -> list[str]:
    """The commands that trained, separated and scored, as far as they are known."""
    commands = [record.run.get("command"), *(c for s in record.sets for c in (s.command, s.summary["command"]))]
    return [command for command in commands if command]


def _bin_cells(bins: Sequence[dict[str, Any]], iteration: int) -> list[str]:
    rows = [row for one in bins for row in one["iterations"] if row["iteration"] == iteration]
    return [format_half_width(row["si_sdr_db"]) for row in rows]


def _training_row(record: ExperimentRecord) -> list[str]:
    run, history = record.run, record.history
    parameters = f"{run['parameters']:,}" if "parameters" in run else UNKNOWN
    turns = [*run.get("before", []), run]
    commits = dict.fromkeys(f"`{turn['commit'][:8]}{turn['commit'][40:]}`" for turn in turns if turn.get("commit"))
    return [
        record.name,
        parameters,
        str(record.config.get("model", {}).get("iterations", UNKNOWN)),
        f"{history[-1]['epoch']} ({record.best_epoch['epoch']})" if history else UNKNOWN,
        f"{history[-1]['mixtures']:,}" if history and "mixtures" in history[-1] else UNKNOWN,
        format_duration(sum(line.get("seconds", 0) for line in history)) if history else UNKNOWN,
        "; ".join(filter(None, map(_machine, turns))) or UNKNOWN,
        ", ".join(commits) or UNKNOWN,
        f"`{record.config_digest}`" if record.config_digest else UNKNOWN,
    ]


def _machine(turn: Mapping[str, Any]) -> str:
    """On what one turn of a training ran, and until when if another followed."""
    words = [str(turn[key]) for key in ("device", "precision") if key in turn]
    words += [f"{turn['threads']} threads"] if "threads" in turn else []
    words += [f"torch {turn['torch']}"] if "torch" in turn else []
    return ", ".join(words) + (f" until epoch {turn['epochs']}" if "epochs" in turn else "")
