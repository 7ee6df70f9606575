"""Scores of a folder of estimates against the references of its data directory.

scores.csv      one line a mixture, speaker and iteration, where iteration 0 is the mixture itself as estimate; a column
                a metric (itersep/score/registry.py), with an empty cell where it is undefined
scores.csv.gz   may be in its place, where results are kept
summary.json    what follows from it (itersep/score/summary.py)
"""

import csv
import gzip
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from itersep.data.audio import read_audio
from itersep.data.datadir import read_table
from itersep.score.metrics import assign, mute_inaudible
from itersep.score.registry import METRICS, Metric, Signals, choose_metrics, evaluate
from itersep.separate.folder import files_sha256, read_mixtures, read_separation
from itersep.system.errors import UserError
from itersep.system.files import read_lines, write_aside
from itersep.system.parallel import map_parallel

PLACE = ("utt", "speaker", "iteration", "estimate")  # columns of every scores.csv
ACTIVE = "active"  # another, which files of earlier versions lack


@dataclass(frozen=True)
class Score:
    """One line of scores.csv: a speaker of a mixture after an iteration."""

    utt: str
    speaker: int  # of the reference, from 1
    iteration: int  # 0: the unprocessed mixture
    estimate: int  # the one assigned to this speaker, from 1; 0: the mixture
    active: bool = True  # whether the reference is heard in the mixture
    values: Mapping[str, float] = field(default_factory=dict)  # metric -> value, where it is defined
    reasons: Mapping[str, str] = field(default_factory=dict, compare=False)  # metric -> why it is not; not in the file

    def get(self, metric: str) -> float:
        """The value of a metric; NaN where it is undefined."""
        return self.values.get(metric, math.nan)


@dataclass(frozen=True)
class Job:
    """A mixture to score: its files, mixture, references (C) and estimates (I, C)."""

    utt: str
    mix: str
    ref: tuple[str, ...]
    est: tuple[tuple[str, ...], ...]
    sample_rate: int


def find_jobs(data_dir: str | Path, separated_dir: str | Path) -> list[Job]:
    """What there is to score in a data directory and the folder of its estimates.

    Raises UserError where a table is missing, lacks a mixture, or the two do not belong together.
    """
    data_dir, separated_dir = Path(data_dir), Path(separated_dir)
    made_by = read_separation(separated_dir)
    if made_by is None:
        raise UserError(f"{separated_dir}/separation.json: missing or not readable; run separation first")
    mixtures = read_mixtures(data_dir)
    speakers = len(list(data_dir.glob("spk[0-9]*.scp")))
    if speakers != made_by.sources:
        raise UserError(
            f"{data_dir}: has references of {speakers} speakers (spk1.scp ...) where {separated_dir} "
            f"has estimates of {made_by.sources}; score it against the data that it was made from"
        )
    ref = _read_tables(data_dir, speakers, mixtures)
    est = [_read_tables(separated_dir / f"iter{i}", speakers, mixtures) for i in range(1, made_by.iterations + 1)]
    if files_sha256(mixtures) != made_by.mixtures_sha256:
        raise UserError(f"{separated_dir}: is not of the mixtures that {data_dir} holds now; run separation again")
    return [
        Job(utt, mix, tuple(t[utt] for t in ref), tuple(tuple(t[utt] for t in row) for row in est), made_by.sample_rate)
        for utt, mix in mixtures.items()
    ]


def score_mixture(job: Job, metrics: Sequence[str] = ()) -> list[Score]:
    """Score every speaker after every iteration, each iteration under its own best assignment by SI-SDR.

    ``metrics`` names those to score beside the standard ones.
    Raises UserError that names a file which is unreadable or not of the mixture's length.
    """
    chosen = choose_metrics(metrics)
    mix = _read(job.mix, job.sample_rate)
    ref = mute_inaudible(mix, torch.stack([_read(file, job.sample_rate, len(mix)) for file in job.ref]))
    unprocessed = Signals(mix, ref, mix.expand_as(ref), None, job.sample_rate)
    scores = list(_score_speakers(job.utt, 0, [0] * len(ref), unprocessed, chosen))
    before = None
    for iteration, files in enumerate(job.est, start=1):
        est = torch.stack([_read(file, job.sample_rate, len(mix)) for file in files])
        perm = assign(est, ref)
        signals = Signals(mix, ref, est[perm], None if before is None else before[perm], job.sample_rate)
        scores += _score_speakers(job.utt, iteration, (perm + 1).tolist(), signals, chosen)
        before = est
    return scores


def score_all(jobs: Sequence[Job], nj: int = 1, metrics: Sequence[str] = ()) -> list[Score]:
    """Scores of all mixtures in the order of ``jobs``, by ``nj`` processes of one thread each.

    ``metrics`` are those of `score_mixture`.

    SDR's 512 equations are too few for threads: two of them take longer than one, on a busy machine much longer.
    """
    threads = torch.get_num_threads()
    results = map_parallel(partial(_score_in_one_thread, metrics=metrics), jobs, nj)
    progress = tqdm(results, "scoring", len(jobs), unit="mixture", disable=None)
    by_utt = {scores[0].utt: scores for scores in progress}
    torch.set_num_threads(threads)
    return [score for job in jobs for score in by_utt[job.utt]]


def _score_in_one_thread(job: Job, metrics: Sequence[str]) -> list[Score]:
    torch.set_num_threads(1)
    return score_mixture(job, metrics)


def scored_files_sha256(jobs: Sequence[Job], separated_dir: str | Path) -> str:
    """A digest of all that scores are made from: separation.json, which has that of the mixtures, and the audio.

    It tells whether scores are of these estimates and references, wherever they lie. Raises UserError that names a
    missing file.
    """
    files = {"separation.json": str(Path(separated_dir) / "separation.json")}
    for job in jobs:
        files |= {f"{job.utt} ref{c}": file for c, file in enumerate(job.ref, start=1)}
        for i, row in enumerate(job.est, start=1):
            files |= {f"{job.utt} iter{i} est{c}": file for c, file in enumerate(row, start=1)}
    return files_sha256(files)


def write_scores(path: str | Path, scores: Sequence[Score]) -> None:
    """Write scores.csv, aside and renamed, with a column for each metric that has a value."""
    found = {name for score in scores for name in score.values}
    names = [name for name in METRICS if name in found] + sorted(found - METRICS.keys())
    with write_aside(path) as aside, open(aside, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*PLACE, ACTIVE, *names])
        for score in scores:
            place = (score.utt, score.speaker, score.iteration, score.estimate, int(score.active))
            writer.writerow([*place, *(score.values.get(name, "") for name in names)])


def read_scores(path: str | Path) -> list[Score]:
    """Read scores.csv, or scores.csv.gz in its place; a column after the first four is a metric, known here or not.

    Raises UserError that names the file and line of a bad one.
    """
    scores: list[Score] = []
    head: list[str] = []
    for number, line in enumerate(_read_lines(Path(path)), start=1):
        try:
            (row,) = csv.reader([line], strict=True)
            if number > 1:
                scores.append(_read_row(dict(zip(head, row, strict=True))))
            elif not set(PLACE) <= set(row) or len(set(row)) < len(row):
                raise ValueError
            else:
                head = row
        except (ValueError, csv.Error):
            raise UserError(f"{path}:{number}: is not a line of scores; run scoring again") from None
    if not scores:
        raise UserError(f"{path}: holds no scores; run scoring again")
    return scores if ACTIVE in head else _find_active(scores)


def has_scores(path: Path) -> bool:
    """Whether `read_scores` finds a file: scores.csv, or scores.csv.gz in its place."""
    return path.exists() or _packed(path).exists()


def _packed(path: Path) -> Path:
    return path.with_name(f"{path.name}.gz")


def _read_lines(path: Path) -> list[str]:
    packed = _packed(path)
    if path.exists() or not packed.exists():
        return read_lines(path, "run scoring first")
    try:
        return gzip.decompress(packed.read_bytes()).decode().splitlines()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        raise UserError(f"{packed}: corrupt, or not a gzip file; copy it again, or run scoring") from None


def _read_row(row: dict[str, str]) -> Score:
    utt, *numbers = (row.pop(name) for name in PLACE)
    speaker, iteration, estimate = map(int, numbers)
    active = bool(int(row.pop(ACTIVE, "1")))
    return Score(utt, speaker, iteration, estimate, active, {name: float(cell) for name, cell in row.items() if cell})


def _find_active(scores: Sequence[Score]) -> list[Score]:
    """Scores of a file that does not tell who is active: there, the others have no SI-SDR even of the mixture."""
    silent = {(score.utt, score.speaker) for score in scores if not score.iteration and "si_sdr_db" not in score.values}
    return [replace(score, active=(score.utt, score.speaker) not in silent) for score in scores]


def _score_speakers(
    utt: str, iteration: int, estimates: list[int], signals: Signals, metrics: Sequence[Metric]
) -> Iterator[Score]:
    """Scores (C,) of an iteration as lines, rounded as they are written, so that the file holds all there is."""
    lines = zip(estimates, signals.active.tolist(), evaluate(signals, iteration, metrics), strict=True)
    for speaker, (estimate, active, (values, reasons)) in enumerate(lines, start=1):
        rounded = {name: round(value, 4) for name, value in values.items()}
        yield Score(utt, speaker, iteration, estimate, active, rounded, reasons)


def _read_tables(folder: Path, speakers: int, mixtures: Iterable[str]) -> list[dict[str, str]]:
    tables = []
    for c in range(1, speakers + 1):
        path = folder / f"spk{c}.scp"
        tables.append(read_table(path))
        for utt in mixtures:
            if utt not in tables[-1]:
                raise UserError(f"{path}: has no '{utt}', which wav.scp of the data lists; run the stage that makes it")
    return tables


def _read(path: str, sample_rate: int, length: int | None = None) -> torch.Tensor:
    samples = read_audio(path, sample_rate)
    if len(samples) != (length or len(samples)):
        raise UserError(f"{path}: has {len(samples)} samples where its mixture has {length}; make it anew")
    if len(samples) == 0:
        raise UserError(f"{path}: holds no samples; remove it from the data")
    return torch.from_numpy(samples).double()
