"""What the page lets hear: chosen mixtures with their references and estimates, at levels to be compared by ear."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from itersep.data.audio import encode_audio, read_audio, to_pcm
from itersep.report.experiment import ExperimentRecord, ScoredSet
from itersep.report.tables import Tried
from itersep.score.registry import shown_metrics
from itersep.score.scores import Job, Score, find_jobs, read_scores
from itersep.score.summary import MAIN, choose_to_hear, improvements
from itersep.separate.folder import read_separation
from itersep.simulate.manifest import AnyMixture, Mixture, read_mixtures
from itersep.system.errors import UserError

PEAK = 0.9  # of the loudest signal of an example


@dataclass(frozen=True)
class Signal:
    """Something to hear."""

    speaker: int  # from 1; 0: all of them
    score: str  # of an estimate, as text; empty where it is undefined
    flac: bytes


@dataclass(frozen=True)
class Row:
    """Signals that are shown side by side, one a speaker, or the mixture alone."""

    kind: str  # mix, ref or est
    experiment: str  # of estimates
    iteration: int  # of estimates, from 1
    signals: list[Signal]


@dataclass(frozen=True)
class Example:
    """A mixture to hear: itself, its references, and the estimates of each experiment and iteration."""

    utt: str
    rank: str  # best, median, worst; empty if it was asked for by name
    gain_db: float | None  # SI-SDRi after the iterations of training, mean over speakers and experiments
    facts: dict[str, str]  # what was drawn for it
    sample_rate: int
    length: int
    rows: list[Row]


@dataclass(frozen=True)
class Listening:
    """What there is to hear of a set, and what there is not, in words."""

    experiments: list[str]
    iterations: int  # the most that one of them was separated for
    final: int  # those that the first was trained for
    examples: list[Example]
    notes: list[str]


@dataclass(frozen=True)
class Heard:
    """An experiment with what is needed to hear it: its files and scores by mixture."""

    name: str
    scored: ScoredSet
    mixtures_sha256: str
    jobs: dict[str, Job]
    scores: list[Score]


def collect_examples(tried: Tried, named: Sequence[str] = ()) -> Listening:
    """Read the mixtures of a set with the best, median and worst SI-SDRi, and those that are ``named``.

    Experiments whose audio is not there any more, or of other mixtures than the first's, are left out with a note:
    their tables are still worth a page.
    """
    heard, notes = [], []
    for name, scored in tried:
        try:
            one = _find(name, scored)
            if heard and one.mixtures_sha256 != heard[0].mixtures_sha256:
                raise UserError(f"it separated other mixtures than {heard[0].name}")
            heard.append(one)
        except UserError as error:
            notes.append(f"{name} cannot be heard: {error}.")
    return _collect(heard, named, notes) if heard else Listening([], 0, 0, [], notes)


def check_names(records: Sequence[ExperimentRecord], named: Sequence[str]) -> None:
    """Raise UserError unless every one of ``named`` is a mixture that an experiment was scored on."""
    tables = [scored.folder / "scores.csv" for record in records for scored in record.sets]
    known = {score.utt for table in tables for score in read_scores(table)} if named else set()
    for utt in named:
        if utt not in known:
            raise UserError(f"--mixture: no experiment was scored on '{utt}'; names are as in {tables[0]}")


def _find(name: str, scored: ScoredSet) -> Heard:
    jobs = {job.utt: job for job in find_jobs(scored.summary["data"], scored.folder)}
    scores = read_scores(scored.folder / "scores.csv")
    return Heard(name, scored, read_separation(scored.folder).mixtures_sha256, jobs, scores)


def _collect(heard: Sequence[Heard], named: Sequence[str], notes: list[str]) -> Listening:
    gains = _mean_gains(heard)
    ranks: dict[str, list[str]] = {}
    for rank, utt in choose_to_hear(gains).items():
        ranks.setdefault(utt, []).append(rank)
    ranks |= {utt: [] for utt in named if utt in heard[0].jobs and utt not in ranks}
    drawn = _read_drawn(Path(heard[0].scored.summary["data"]))
    examples = []
    for utt, titles in ranks.items():
        try:
            examples.append(_read_example(heard, utt, ", ".join(titles), gains.get(utt), _describe(drawn.get(utt))))
        except UserError as error:
            notes.append(f"{utt} cannot be heard: {error}.")
    iterations = max(score.iteration for one in heard for score in one.scores)
    return Listening([one.name for one in heard], iterations, heard[0].scored.final, examples, notes)


def _mean_gains(heard: Sequence[Heard]) -> dict[str, float]:
    """Mixture -> SI-SDRi (dB) after the iterations of training, mean over experiments; those that all have."""
    gains = [improvements(one.scores, one.scored.final) for one in heard]
    return {utt: float(np.mean([one[utt] for one in gains])) for utt in gains[0] if all(utt in one for one in gains)}


def _read_example(
    heard: Sequence[Heard], utt: str, rank: str, gain_db: float | None, facts: Mapping[str, str]
) -> Example:
    """One gain for mixture and references, one for all estimates of an experiment, so that no level misleads.

    The second brings the mean energy of an iteration's estimates to that of the references: a model may answer at
    any level, and its files may have been scaled down.
    """
    job = heard[0].jobs[utt]
    mix, *ref = (read_audio(file, job.sample_rate) for file in (job.mix, *job.ref))
    signals = {("mix", "", 0): [mix], ("ref", "", 0): ref}
    for one in heard:
        est = [_read_assigned(one, utt, i) for i in range(1, len(one.jobs[utt].est) + 1)]
        energy = np.mean([_energy(row) for row in est])
        gain = np.sqrt(_energy(ref) / energy) if energy else 1.0
        signals |= {("est", one.name, i): [gain * samples for samples in row] for i, row in enumerate(est, start=1)}
    peak = max(np.abs(samples).max() for row in signals.values() for samples in row)
    scale = PEAK / peak if peak else 1.0
    told = {(one.name, s.iteration, s.speaker): _tell(s) for one in heard for s in one.scores if s.utt == utt}
    rows = []
    for (kind, name, iteration), row in signals.items():
        speakers = [0] if kind == "mix" else range(1, len(row) + 1)
        flacs = [_encode(scale * samples, job.sample_rate) for samples in row]
        texts = [told.get((name, iteration, c), "") for c in speakers]
        rows.append(Row(kind, name, iteration, list(map(Signal, speakers, texts, flacs))))
    return Example(utt, rank, gain_db, dict(facts), job.sample_rate, len(mix), rows)


def _read_assigned(one: Heard, utt: str, iteration: int) -> list[np.ndarray]:
    """Estimates of an iteration, in the order of the references that they were assigned to."""
    job = one.jobs[utt]
    scores = [score for score in one.scores if (score.utt, score.iteration) == (utt, iteration)]
    order = [score.estimate for score in sorted(scores, key=lambda score: score.speaker)]
    return [read_audio(job.est[iteration - 1][k - 1], job.sample_rate) for k in order]


def _energy(signals: Sequence[np.ndarray]) -> float:
    return float(sum(np.square(samples, dtype=np.float64).sum() for samples in signals))


def _tell(score: Score) -> str:
    """The SI-SDR of an estimate, or the leak of one that should be silent."""
    if score.active:
        return f"{score.values[MAIN]:.1f} dB" if MAIN in score.values else ""
    return ", ".join(
        f"{metric.title} {score.values[metric.name]:.1f} {metric.unit}"
        for metric in shown_metrics("silent")
        if metric.name in score.values
    )


def _encode(samples: np.ndarray, sample_rate: int) -> bytes:
    """FLAC: browsers play it, without the delay and the artefacts that a lossy codec would add to those to be heard."""
    return bytes(encode_audio(to_pcm(samples.astype(np.float32)), sample_rate, "flac"))


def _read_drawn(data: Path) -> dict[str, AnyMixture]:
    manifest = data / "mixtures.jsonl"
    return {mixture.id: mixture for mixture in read_mixtures(manifest)} if manifest.exists() else {}


def _describe(mixture: AnyMixture | None) -> dict[str, str]:
    """What was drawn for a mixture, in words."""
    if mixture is None:
        return {}
    facts = {f"Speaker {c}": speaker.utt for c, speaker in enumerate(mixture.speakers, start=1)}
    facts |= {"Noise": mixture.noise.utt} if mixture.noise else {}
    if isinstance(mixture, Mixture):
        for c, speaker in enumerate(mixture.speakers[1:], start=2):
            facts[f"Speaker {c}"] += f", {speaker.level_db:+.1f} dB"
        if mixture.noise:
            facts["Noise"] += f", {mixture.noise.snr_db:.1f} dB below speech"
        room = " × ".join(f"{side:.1f}" for side in mixture.room_m)
        facts |= {"Overlap": f"{100 * mixture.overlap:.0f} %", "Room": f"{room} m, T60 {mixture.t60_s:.2f} s"}
    return facts
