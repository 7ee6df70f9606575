"""Scores of a folder of estimates against the references of its data directory.

scores.csv      one line a mixture, speaker and iteration; iteration 0 is the mixture itself as estimate
summary.json    what follows from it (itersep/report/summary.py)
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import torch
from tqdm import tqdm

from itersep.data.audio import read_audio
from itersep.data.datadir import read_table
from itersep.errors import UserError
from itersep.files import read_lines, write_aside
from itersep.metrics import assign, change_db, sdr_db, si_sdr_db
from itersep.parallel import map_parallel
from itersep.separate import files_sha256, read_mixtures, read_separation


@dataclass(frozen=True)
class Score:
    """One line of scores.csv. A metric is NaN (an empty cell) where the reference or the estimate is silent."""

    utt: str
    speaker: int  # of the reference, from 1
    iteration: int  # 0: the unprocessed mixture
    estimate: int  # the one assigned to this speaker, from 1; 0: the mixture
    si_sdr_db: float
    si_sdri_db: float  # SI-SDR less that of the mixture
    sdr_db: float
    change_db: float = 0.0  # of the mixture's estimates in this iteration; 0 in the first, which starts from silence


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


def score_mixture(job: Job) -> list[Score]:
    """Score every speaker after every iteration, each iteration under its own best assignment by SI-SDR.

    Raises UserError that names a file which is unreadable or not of the mixture's length.
    """
    mix = _read(job.mix, job.sample_rate)
    ref = torch.stack([_read(file, job.sample_rate, len(mix)) for file in job.ref])
    unprocessed = si_sdr_db(mix, ref)
    scores = _speaker_scores(job.utt, 0, [0] * len(ref), unprocessed, unprocessed, sdr_db(mix, ref))
    before = None
    for iteration, files in enumerate(job.est, start=1):
        est = torch.stack([_read(file, job.sample_rate, len(mix)) for file in files])
        change = 0.0 if before is None else round(change_db(est, before).item(), 4)
        before = est
        perm = assign(est, ref)
        est = est[perm]
        estimates = (perm + 1).tolist()
        si_sdr = si_sdr_db(est, ref)
        scores += _speaker_scores(job.utt, iteration, estimates, si_sdr, unprocessed, sdr_db(est, ref), change)
    return scores


def score_all(jobs: Sequence[Job], nj: int = 1) -> list[Score]:
    """Scores of all mixtures in the order of ``jobs``, by ``nj`` processes of one thread each.

    SDR's 512 equations are too few for threads: two of them take longer than one, on a busy machine much longer.
    """
    threads = torch.get_num_threads()
    results = tqdm(map_parallel(_score_in_one_thread, jobs, nj), "scoring", len(jobs), unit="mixture", disable=None)
    by_utt = {scores[0].utt: scores for scores in results}
    torch.set_num_threads(threads)
    return [score for job in jobs for score in by_utt[job.utt]]


def _score_in_one_thread(job: Job) -> list[Score]:
    torch.set_num_threads(1)
    return score_mixture(job)


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


def write_scores(path: str | Path, scores: Iterable[Score]) -> None:
    """Write scores.csv, aside and renamed."""
    with write_aside(path) as aside, open(aside, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Score))
        for score in scores:
            writer.writerow("" if value != value else value for value in astuple(score))


def read_scores(path: str | Path) -> list[Score]:
    """Read scores.csv. Raises UserError that names the file and line of a bad one."""
    names, types = zip(*((field.name, field.type) for field in fields(Score)), strict=True)
    scores = []
    for number, line in enumerate(read_lines(path, "run scoring first"), start=1):
        try:
            (row,) = csv.reader([line], strict=True)
            if number == 1 and row != list(names):
                raise ValueError
            if number > 1:
                scores.append(Score(*(kind(cell or "nan") for kind, cell in zip(types, row, strict=True))))
        except (ValueError, csv.Error):
            raise UserError(f"{path}:{number}: is not a line of scores; run scoring again") from None
    if not scores:
        raise UserError(f"{path}: holds no scores; run scoring again")
    return scores


def _speaker_scores(
    utt: str,
    iteration: int,
    estimates: list[int],
    si_sdr: torch.Tensor,
    unprocessed: torch.Tensor,
    sdr: torch.Tensor,
    change_db: float = 0.0,
) -> list[Score]:
    """Scores (C,) of an iteration as lines, rounded as they are written, so that the file holds all there is."""
    columns = zip(estimates, si_sdr.tolist(), (si_sdr - unprocessed).tolist(), sdr.tolist(), strict=True)
    return [
        Score(utt, c, iteration, est, *(round(v, 4) for v in row), change_db)
        for c, (est, *row) in enumerate(columns, start=1)
    ]


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
