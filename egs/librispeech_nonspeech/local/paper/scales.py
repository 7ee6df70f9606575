"""Which experiments are rows of a paper, and at what scale: what sets their trainings apart from the paper's."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from itersep.report.experiment import ExperimentRecord, ScoredSet
from itersep.score.metrics import Mean, mean_interval
from itersep.score.scores import read_scores
from itersep.score.summary import all_active, mixture_means
from itersep.train.config import complete_config
from itersep.train.dataset import data_sizes
from paper.rows import PaperTables


@dataclass(frozen=True)
class Run:
    """An experiment that is a row of the paper, on one set."""

    record: ExperimentRecord
    scored: ScoredSet

    @property
    def seed(self) -> int:
        """That of its training."""
        return self.record.config["train"]["seed"]

    @cached_property
    def si_sdr_db(self) -> dict[int, dict[str, float]]:
        """Iteration -> mixture -> mean SI-SDR of its speakers (dB)."""
        return mixture_means(all_active(read_scores(self.scored.folder / "scores.csv")), "si_sdr_db")


@dataclass(frozen=True)
class Scale:
    """A test set, and what sets trainings apart from the paper's, in words: nothing at the paper's own scale.

    Sets of one name may hold other mixtures: the SI-SDR of those as they are (dB) tells.
    """

    test_set: str = ""
    mixture_db: float | None = None
    fresh: bool = True  # trained on mixtures drawn anew in every epoch; else rendered once, as the paper's
    differences: tuple[str, ...] = ()


Runs = dict[str, list[Run]]  # row -> its runs, by seed


@dataclass(frozen=True)
class Compared:
    """A paper's tables, and the runs of its rows at each scale."""

    paper: PaperTables
    scales: dict[Scale, Runs]


def compare(paper: PaperTables, records: Sequence[ExperimentRecord]) -> Compared:
    """The runs of the paper's rows at each scale, the paper's own first, then those with most rows.

    Experiments that are no row are left out; of those with the same seed, which differ by their machine at most, all
    but the first by name.
    """
    scales: dict[Scale, Runs] = {}
    for record in records:
        config = complete_config(record.config, record.folder / "config.yaml") if record.config else {}
        for row in paper.rows if config else ():
            differences = row.scale_of(config)
            for scored in record.sets if differences is not None else ():
                runs = scales.setdefault(_describe_scale(paper, record, scored, differences), {})
                runs.setdefault(row.name, []).append(Run(record, scored))
    for runs in scales.values():
        for row, same in runs.items():
            same.sort(key=lambda run: run.record.name, reverse=True)
            by_seed = {run.seed: run for run in same}
            runs[row] = [by_seed[seed] for seed in sorted(by_seed)]
    ordered = sorted(scales.items(), key=lambda item: (len(item[0].differences) > 0, -len(item[1])))
    return Compared(paper, dict(ordered) or {Scale(): {}})


def mean_over_seeds(runs: Sequence[Run], iterations: int) -> Mean:
    """SI-SDR (dB) after so many iterations: each mixture's mean over the runs that go that far, and the mean of these.

    The interval is over mixtures.
    """
    seeds = [run.si_sdr_db[iterations] for run in runs if iterations in run.si_sdr_db]
    common = sorted(set.intersection(*map(set, seeds))) if seeds else []
    return mean_interval([statistics.fmean(seed[utt] for seed in seeds) for utt in common])


def _describe_scale(
    paper: PaperTables, record: ExperimentRecord, scored: ScoredSet, settings: dict[str, tuple[Any, Any]]
) -> Scale:
    sizes = record.run.get("sizes") or data_sizes(record.config)  # of runs by older versions: as the data are now
    sizes = sizes | {"test mixtures": scored.summary["mixtures"]}
    counts = [f"{n} {what} for {paper.sizes[what]}" for what, n in sizes.items() if n != paper.sizes.get(what, n)]
    stopped = [] if record.finished or not record.history else [f"stopped after {len(record.history)} epochs"]
    unprocessed = scored.row(0)["si_sdr_db"]["mean"]
    return Scale(
        scored.name,
        None if unprocessed is None else round(unprocessed, 2),
        record.config["data"]["mode"] == "fresh",
        (*(f"{key} {value} for {own}" for key, (value, own) in settings.items()), *counts, *stopped),
    )
