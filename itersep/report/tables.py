"""The paper's tables with what was measured beside each number, one set of them for each scale that was trained at."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from itersep.metrics import Mean, mean_interval
from itersep.report.cost import count_macs
from itersep.report.experiment import ExperimentRecord, ScoredSet
from itersep.report.markdown import UNKNOWN, format_mean, render_table
from itersep.report.paper import PaperRow, PaperTables, data_sizes
from itersep.report.questions import render_questions
from itersep.report.summary import mixture_means
from itersep.score import read_scores

NOT_RUN = "not run"
COLUMNS = ("row", "blocks", "trained", "inference", "options", "paper", "ours [95 %]", "difference", "seeds (sd)")
COLUMNS += ("reassigned", "parameters", "GMAC/s")
EXPLANATION = (
    "SI-SDR in dB. *blocks*: SIMO + SISO. *trained*, *inference*: iterations. *ours*: mean over mixtures and seeds "
    "with its 95 % interval over mixtures. *sd*: standard deviation of the seeds' means. *reassigned*: mixtures whose "
    "speakers change places from the iteration before. *GMAC/s*: 10^9 multiply-accumulates a second of audio, in "
    "convolutions, linear layers and LSTMs, all inference iterations together."
)


@dataclass(frozen=True)
class Run:
    """An experiment that is a row of the paper, on one set."""

    record: ExperimentRecord
    scored: ScoredSet


@dataclass(frozen=True)
class Scale:
    """A test set, and what sets trainings apart from the paper's, in words: nothing at the paper's own scale."""

    test_set: str = ""
    differences: tuple[str, ...] = ()


Runs = dict[str, list[Run]]  # row -> its runs, by seed


def group_by_scale(paper: PaperTables, records: Sequence[ExperimentRecord]) -> dict[Scale, Runs]:
    """The runs of the paper's rows at each scale, the paper's own first, then those with most rows.

    Experiments that are no row are left out.
    """
    scales: dict[Scale, Runs] = {}
    for record in records:
        for row in paper.rows if record.config else ():
            differences = row.scale_of(record.config)
            for scored in record.sets if differences is not None else ():
                runs = scales.setdefault(_describe_scale(paper, record, scored, differences), {})
                runs.setdefault(row.name, []).append(Run(record, scored))
    for runs in scales.values():
        for same in runs.values():
            same.sort(key=lambda run: (run.record.config["train"]["seed"], run.record.name))
    return dict(sorted(scales.items(), key=lambda item: (len(item[0].differences) > 0, -len(item[1])))) or {Scale(): {}}


def render_paper(paper: PaperTables, records: Sequence[ExperimentRecord]) -> Iterator[str]:
    """Markdown of the tables, and for each row the yaml and the command behind it.

    The first scale's tables have all rows, those of others the rows that were run.
    """
    for place, (scale, runs) in enumerate(group_by_scale(paper, records).items()):
        rows = [row for row in paper.rows if place == 0 or row.name in runs]  # what was not run is told once
        at = " at another scale" if scale.differences else ""
        yield f"## The paper's tables{at}"
        if scale.differences:
            yield f"**Not the paper's scale:** {', '.join(scale.differences)} (`{scale.test_set}`)."
        elif not runs:
            yield "No row has been run."
        yield EXPLANATION
        for table, title in paper.titles.items():
            numbers = [number for number in paper.table(table) if number[0] in rows]
            lines = [_number_line(row, i, value, runs.get(row.name, [])) for row, i, value in numbers]
            if lines:
                yield f"### Table {table}{at}: {title}"
                yield render_table(COLUMNS, "llrrlrrrrrrr", lines)
        if answers := list(render_questions(paper.questions, _by_seed(runs))):
            yield f"### The paper's questions{at}"
            yield from answers
        yield f"### What is behind the numbers{at}"
        lines = [line for row in rows for line in _row_lines(row, runs.get(row.name, []), _overlay(runs))]
        yield render_table(["row", "yaml", "experiment", "epochs", "config.yaml", "command"], "llllll", lines)


def _by_seed(runs: Runs) -> dict[str, dict[int, ScoredSet]]:
    return {row: {run.record.config["train"]["seed"]: run.scored for run in same} for row, same in runs.items()}


def _describe_scale(
    paper: PaperTables, record: ExperimentRecord, scored: ScoredSet, settings: dict[str, tuple[Any, Any]]
) -> Scale:
    sizes = data_sizes(record.config) | {"test mixtures": scored.summary["mixtures"]}
    counts = [f"{n} {what} for {paper.sizes[what]}" for what, n in sizes.items() if n != paper.sizes[what]]
    stopped = [] if record.finished or not record.history else [f"stopped after {len(record.history)} epochs"]
    return Scale(
        scored.name, (*(f"{key} {value} for {own}" for key, (value, own) in settings.items()), *counts, *stopped)
    )


def _number_line(row: PaperRow, iterations: int, paper_db: float, runs: Sequence[Run]) -> list[str]:
    model = row.config["model"]
    length = int(row.config["data"]["simulation"]["length_s"] * row.config["data"]["simulation"]["sample_rate"])
    seconds = row.config["data"]["simulation"]["length_s"]
    return [
        f"`{row.name}`",
        f"{model['separator']['simo_blocks']} + {model['separator']['siso_blocks']}",
        model["iterations"],
        str(iterations),
        _options(row.config) or UNKNOWN,
        f"{paper_db:.1f}",
        *_measured([run.scored for run in runs], iterations, paper_db),
        f"{row.parameters:,}",
        f"{count_macs(model, length, iterations) / seconds / 1e9:.2f}",
    ]


def _options(config: dict[str, Any]) -> str:
    model, objective = config["model"], config["objective"]
    options = ["detached" if model["detach"] else "not detached"] if model["iterations"] > 1 else []
    options += [] if model["share_simo"] else ["own SIMO"]
    options += ["layer-wise"] if objective["layerwise"] else []
    return ", ".join(options + (["oracle bias"] if objective["oracle_bias"] else []))


def _measured(scored: Sequence[ScoredSet], iterations: int, paper_db: float) -> list[str]:
    """Cells on ours, difference, seeds and reassigned."""
    scored = [one for one in scored if (row := one.row(iterations)) and row["si_sdr_db"]["mean"] is not None]
    if not scored:
        return [NOT_RUN, UNKNOWN, UNKNOWN, UNKNOWN]
    rows = [one.row(iterations) for one in scored]
    means = [row["si_sdr_db"]["mean"] for row in rows]
    ours = _mean_over_seeds(scored, iterations) if len(rows) > 1 else Mean(**rows[0]["si_sdr_db"])
    spread = f"{len(rows)} ({statistics.stdev(means):.2f})" if len(rows) > 1 else "1"
    changed = [row["changed_rate"] for row in rows if row["changed_rate"] is not None]
    return [
        format_mean(vars(ours)),
        f"{ours.mean - paper_db:+.2f}",
        spread,
        f"{100 * statistics.fmean(changed):.1f} %" if changed else UNKNOWN,
    ]


def _mean_over_seeds(scored: Sequence[ScoredSet], iterations: int) -> Mean:
    """Each mixture's mean over seeds, and the mean of these with its interval."""
    seeds = [mixture_means(read_scores(one.folder / "scores.csv"), "si_sdr_db")[iterations] for one in scored]
    common = sorted(set.intersection(*map(set, seeds)))
    return mean_interval([statistics.fmean(seed[utt] for seed in seeds) for utt in common])


def _overlay(runs: Runs) -> list[str]:
    """The yaml that makes the scale of these runs, if it is one and the same; those of seeds are none."""
    overlays = [
        [f for f in run.record.config_files[2:] if "conf/seed/" not in f] for same in runs.values() for run in same
    ]
    return overlays[0] if overlays and len(overlays[0]) == 1 and all(one == overlays[0] for one in overlays) else []


def _row_lines(row: PaperRow, runs: Sequence[Run], overlay: list[str]) -> Iterator[list[str]]:
    if not runs:
        command = " ".join(["./tables.sh --row", row.name, *(f"--scale {path}" for path in overlay)])
        yield [f"`{row.name}`", _code([*row.configs, *overlay]), NOT_RUN, UNKNOWN, UNKNOWN, f"`{command}`"]
    for record, scored in ((run.record, run.scored) for run in runs):
        configs = record.config_files or row.configs
        most = max(line["iteration"] for line in scored.summary["iterations"])
        epochs = f"{len(record.history)} of {record.config['train']['epochs']}, best {record.best_epoch.get('epoch')}"
        yield [
            f"`{row.name}`",
            _code(configs),
            f"`{record.name}`",
            epochs if record.history else UNKNOWN,
            f"`{record.config_digest}`",
            f"`./run.sh --stage 2 --config {','.join(configs)} --iterations {most}`",
        ]


def _code(paths: Sequence[str]) -> str:
    return ", ".join(f"`{path}`" for path in paths)
