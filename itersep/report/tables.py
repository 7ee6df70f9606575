"""The tables of the report, as cells that a page of markdown or HTML lays out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from itersep.report.experiment import ExperimentRecord, ScoredSet
from itersep.report.markdown import NO_MEAN, UNKNOWN, format_duration, format_half_width, format_row
from itersep.score.bins import AXES
from itersep.score.metrics import INAUDIBLE_DB
from itersep.score.registry import Metric, figure_metrics, shown_metrics

Tried = Sequence[tuple[str, ScoredSet]]  # the experiments that were scored on one set, by name
STOPPING_EXPLANATION = (
    "*until change*: the threshold of `itersep-separate --until-change-db`. An iteration that changes a mixture's "
    "estimates by less, relative to them, is its last."
)


class Table(NamedTuple):
    """A table; ``align`` has an l or r for each column. Text between backticks is code."""

    head: Sequence[str]
    align: str
    rows: Sequence[Sequence[str]]


def found_metrics(metrics: Iterable[Metric], rows: Sequence[Mapping[str, Any]]) -> list[Metric]:
    """Those that a row of summaries has: older ones lack what was not scored then. All lack it: the first at least."""
    metrics = list(metrics)
    return [metric for metric in metrics if any(metric.name in row for row in rows)] or metrics[:1]


def all_rows(tried: Tried) -> list[dict[str, Any]]:
    """What the summaries say of every iteration, of all the experiments."""
    return [row for _, scored in tried for row in scored.summary["iterations"]]


def explain_scores(tried: Tried) -> str:
    """What the numbers of a set's table are; *stressed* and `code` as in markdown."""
    summary = tried[0][1].summary
    metrics = found_metrics(shown_metrics(), all_rows(tried))
    notes = "; ".join(metric.note for metric in metrics if metric.note)
    return (
        f"{summary['mixtures']} mixtures of {summary['speakers']} speakers (`{summary['data']}`). "
        f"{explain_units(metrics)} [{summary['interval']}]. {notes}{'. ' * bool(notes)}"
        "Outputs are assigned to speakers after each iteration by the best SI-SDR; *reassigned* are the "
        "mixtures whose assignment differs from the iteration before."
    )


def explain_units(metrics: Sequence[Metric]) -> str:
    """What the numbers of a table are measured in, where its heads name what is not in dB."""
    return "Means in dB" + " where no unit is named" * any(metric.unit != "dB" for metric in metrics)


def score_table(tried: Tried) -> Table:
    """Scores after every iteration; those of the mixture once, unless another experiment was scored on others."""
    metrics = found_metrics(shown_metrics(), all_rows(tried))
    rows: list[list[str]] = []
    for experiment, scored in tried:
        for row in scored.summary["iterations"]:
            changed = UNKNOWN if row["changed_rate"] is None else f"{100 * row['changed_rate']:.1f} %"
            name = experiment if row["iteration"] else "mixture"
            line = [name, str(row["iteration"]), *format_row(row, metrics), changed]
            if row["iteration"] or line not in rows:
                rows.append(line)
    head = ["experiment", "iterations", *(metric.head for metric in metrics), "reassigned"]
    return Table(head, "lr" + "r" * len(metrics) + "r", rows)


def list_left_out(tried: Tried) -> list[str]:
    """A line for each experiment whose means leave mixtures out."""
    lines = []
    for experiment, scored in tried:
        partly = {name.rpartition(" speaker ")[0] for name in scored.summary["silent_references"]}
        counts = {
            "mixtures with silent speakers": len(partly),
            "silent estimates with their mixtures": len(scored.summary["silent_estimates"]),
        }
        named = [f"{count} {what}" for what, count in counts.items() if count]
        if named:
            lines.append(f"{experiment}: left out of the means: {' and '.join(named)}.")
    return lines


def silence_table(tried: Tried) -> Table | None:
    """Scores of mixtures in which not all speakers are active, by how many are; None where there are none."""
    found = [
        (experiment, kind, row)
        for experiment, scored in tried
        for kind in scored.summary.get("with_silence", [])
        for row in kind["iterations"]
    ]
    if not found:
        return None
    metrics = found_metrics([*shown_metrics(), *shown_metrics("silent")], [row for _, _, row in found])
    rows: list[list[str]] = []
    for experiment, kind, row in found:
        counts = (kind["active"], kind["mixtures"], row["iteration"])
        line = [experiment if row["iteration"] else "mixture", *map(str, counts), *format_row(row, metrics)]
        if row["iteration"] or line not in rows:
            rows.append(line)
    head = ["experiment", "active speakers", "mixtures", "iterations", *(metric.head for metric in metrics)]
    return Table(head, "lrrr" + "r" * len(metrics), rows)


def explain_silence() -> str:
    """What the numbers of `silence_table` are."""
    notes = "".join(f" {metric.note[0].upper()}{metric.note[1:]}." for metric in shown_metrics("silent"))
    return (
        f"Mixtures in which a speaker is silent ({INAUDIBLE_DB:g} dB below the mixture or more) are in no other table. "
        f"Here, ratios are means over the active speakers; one who is alone in a mixture has nothing to improve.{notes}"
    )


def with_bins(tried: Tried) -> Tried:
    """The experiments whose scores are in bins."""
    return [(name, scored) for name, scored in tried if scored.summary.get("bins")]


def binned_metrics(tried: Tried) -> list[Metric]:
    """The metrics that these experiments have in bins."""
    axes = (bins for _, scored in with_bins(tried) for bins in scored.summary["bins"].values())
    return found_metrics(figure_metrics(), [row for bins in axes for one in bins for row in one["iterations"]])


def explain_bins(metric: Metric) -> str:
    """What the numbers of `bin_tables` are."""
    unit = f" in {metric.unit}" if metric.unit else ""
    return (
        f"Mean {metric.title}{unit} and its 95 % interval, in bins of what was drawn for the mixtures, "
        "after the last iteration that the model was trained for."
    )


def bin_tables(tried: Tried, metric: Metric) -> dict[str, Table]:
    """Axis -> means of a metric in bins: of the mixtures, and after the last iteration that a model was trained for."""
    tables = {}
    for key, axis in AXES.items():
        rows: list[list[str]] = []
        for name, scored in with_bins(tried):
            bins = scored.summary["bins"].get(key, [])
            counts = ["number of mixtures", "", *(str(one["mixtures"]) for one in bins)]
            unprocessed = ["mixture", "0", *_bin_cells(bins, 0, metric)]
            rows += [line for line in (counts, unprocessed) if bins and line not in rows]
            rows += [[name, str(scored.final), *_bin_cells(bins, scored.final, metric)]] if bins else []
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


def _bin_cells(bins: Sequence[dict[str, Any]], iteration: int, metric: Metric) -> list[str]:
    rows = [row for one in bins for row in one["iterations"] if row["iteration"] == iteration]
    return [format_half_width(row.get(metric.name, NO_MEAN)) for row in rows]


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


def with_stopping(tried: Tried) -> list[tuple[str, ScoredSet]]:
    """The experiments whose estimates were scored for it."""
    return [(name, scored) for name, scored in tried if scored.summary.get("stopping")]


def stopped_metrics(tried: Tried) -> list[Metric]:
    """The metrics that these experiments have by iterations used."""
    rows = [row for _, scored in with_stopping(tried) for row in scored.summary["stopping"]]
    return found_metrics(figure_metrics(), rows)


def stopping_table(tried: Tried) -> Table:
    """Iterations used and scores by threshold."""
    stopped = [(name, row) for name, scored in with_stopping(tried) for row in scored.summary["stopping"]]
    metrics = stopped_metrics(tried)
    rows = [
        [name, str(row["threshold_db"]), f"{row['mean_iterations']:.2f}", *format_row(row, metrics)]
        for name, row in stopped
    ]
    head = ["experiment", "until change (dB)", "iterations used", *(metric.head for metric in metrics)]
    return Table(head, "lrr" + "r" * len(metrics), rows)
