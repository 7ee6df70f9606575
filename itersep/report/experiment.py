"""What the stages left of an experiment in its folder exp/<name>, read for the report."""

import logging
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from itersep.score.registry import Metric
from itersep.score.summary import read_summary
from itersep.separate.folder import model_sha256, read_separation
from itersep.system.cli import read_options
from itersep.system.errors import UserError
from itersep.system.files import file_digest, read_json, read_text
from itersep.system.settings import parse_yaml
from itersep.train.checkpoint import load_model
from itersep.train.history import AGAIN, loss_order, read_history
from itersep.train.versions import update_config

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoredSet:
    """A set that an experiment was tried on: exp/<name>/<set>."""

    name: str
    folder: Path
    summary: dict[str, Any]  # summary.json
    command: str  # that of the separation
    trained_for: int  # iterations of the model; 0: not known

    def row(self, iteration: int) -> dict[str, Any] | None:
        """What the summary says of an inference iteration (0: the mixture); None: it was not separated so often."""
        return next((row for row in self.summary["iterations"] if row["iteration"] == iteration), None)

    def mean(self, iteration: int, metric: str) -> float | None:
        """Mean of a metric after an inference iteration; None where there is none."""
        return ((self.row(iteration) or {}).get(metric) or {}).get("mean")

    @property
    def separated(self) -> list[int]:
        """The inference iterations that were scored."""
        return [row["iteration"] for row in self.summary["iterations"] if row["iteration"]]

    @property
    def final(self) -> int:
        """The iteration that the model was trained to end with, or the last there is."""
        last = max(row["iteration"] for row in self.summary["iterations"])
        return min(self.trained_for, last) or last


@dataclass(frozen=True)
class ExperimentRecord:
    """An experiment as its folder tells of it; what is not there is empty."""

    name: str
    folder: Path
    run: dict[str, Any]  # run.json
    config: dict[str, Any]  # config.yaml
    config_digest: str  # the first digits of its SHA-256
    history: list[dict[str, Any]]  # history.jsonl, one record an epoch
    sets: list[ScoredSet]

    @property
    def config_files(self) -> list[str]:
        """The yaml files that the training was given, as its command names them."""
        return [value for name, value in self._options if name == "config"]

    @property
    def overrides(self) -> list[str]:
        """What the training's command lays over the yaml files, as --name=value."""
        return [f"--{name}={value}" for name, value in self._options if name not in ("config", "out")]

    @property
    def _options(self) -> list[tuple[str, str]]:
        return list(read_options(shlex.split(self.run.get("command", ""))))

    @property
    def finished(self) -> bool:
        """Whether it was trained for all epochs, or until the validation loss had not become better for long."""
        epochs, train = len(self.history), self.config.get("train", {})
        stale = epochs - max(self.best_epoch.get("epoch", 0), train.get("one_pass_epochs", 0))
        return epochs > 0 and (epochs >= train["epochs"] or stale >= train["patience"])

    @property
    def best_epoch(self) -> dict[str, Any]:
        """The record of the epoch with the lowest validation loss."""
        return min(self.history, key=loss_order, default={})


def read_experiments(folders: Sequence[str]) -> list[ExperimentRecord]:
    """Read experiments; their names are those of their folders, or the paths where names repeat.

    Scores of other weights than best.pt has now are left out, with a warning. Raises UserError for a folder that is
    missing, a file that is broken, scores older than the estimates, or where nothing has scores.
    """
    names = Counter(Path(folder).resolve().name for folder in folders)
    records = [leave_out_outdated(read_experiment(folder)) for folder in folders]
    records = [replace(r, name=str(r.folder)) if names[r.name] > 1 else r for r in records]
    if not any(record.sets for record in records):
        raise UserError(f"{', '.join(folders)}: no <set>/summary.json in there; run scoring first")
    return records


def read_experiment(folder: str | Path) -> ExperimentRecord:
    """Read an experiment's folder. Raises UserError if it is missing, or has files that are broken or do not fit."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such experiment folder")
    file = folder / "config.yaml"
    text = read_text(file, AGAIN) if file.exists() else ""
    config = update_config(parse_yaml(text, file)) if text else {}
    if not all(isinstance(part, dict) for part in config.values()):
        raise UserError(f"{file}: is not a configuration of an experiment; {AGAIN}")
    trained_for = config.get("model", {}).get("iterations", 0)
    return ExperimentRecord(
        name=folder.resolve().name,
        folder=folder,
        run=read_json(folder / "run.json", AGAIN, AGAIN) if (folder / "run.json").exists() else {},
        config=config,
        config_digest=file_digest(file)[:12] if text else "",
        history=read_history(folder / "history.jsonl"),
        sets=[_read_set(path.parent, trained_for) for path in sorted(folder.glob("*/summary.json"))],
    )


def leave_out_outdated(record: ExperimentRecord) -> ExperimentRecord:
    """The record without scores of other weights than best.pt has now, if it is there; a warning names them."""
    best = record.folder / "best.pt"
    if not (record.sets and best.exists()):
        return record
    network, config = load_model(best)
    digest = model_sha256(network, config["model"])
    current = []
    for scored in record.sets:
        if scored.summary["model_sha256"] == digest:
            current.append(scored)
        else:
            log.warning("%s: left out, its scores are not of best.pt as it is now; run stages 3 and 4", scored.folder)
    return replace(record, sets=current)


def group_by_set(records: Sequence[ExperimentRecord]) -> dict[str, list[tuple[str, ScoredSet]]]:
    """Set name -> the experiments scored on it, by name, in order."""
    sets: dict[str, list[tuple[str, ScoredSet]]] = {}
    for record in records:
        for scored in record.sets:
            sets.setdefault(scored.name, []).append((record.name, scored))
    return sets


def set_figure_name(name: str, metric: Metric) -> str:
    """File name of a set's scores over iterations beside the results page."""
    return f"{name}_{metric.stem}_over_iterations.png"


def bins_figure_name(name: str, metric: Metric) -> str:
    """File name of a set's scores in bins beside the results page."""
    return f"{name}_{metric.stem}_in_bins.png"


def stopping_figure_name(name: str, metric: Metric) -> str:
    """File name of a set's scores by iterations used beside the results page."""
    return f"{name}_{metric.stem}_by_iterations_used.png"


def training_figure_name(name: str) -> str:
    """File name of an experiment's training curves beside the results page."""
    return f"{name.replace('/', '_')}_training_curves.png"


def _read_set(folder: Path, trained_for: int) -> ScoredSet:
    summary = read_summary(folder / "summary.json")
    made_by = read_separation(folder)
    if made_by is None or made_by.model_sha256 != summary["model_sha256"]:
        raise UserError(f"{folder}/summary.json: does not belong to the estimates beside it; run scoring again")
    notes = read_json(folder / "separation.json", AGAIN, AGAIN)
    return ScoredSet(folder.name, folder, summary, notes.get("command", ""), notes.get("trained_for") or trained_for)
