"""The paper's questions: differences between its rows, mixture by mixture, and whether ours tell the same."""

import statistics
from collections.abc import Iterator, Mapping, Sequence

from itersep.metrics import Mean, mean_interval
from itersep.report.experiment import ScoredSet
from itersep.report.markdown import format_mean, render_table
from itersep.report.paper import PaperNumber
from itersep.report.summary import mixture_means
from itersep.score import read_scores

COLUMNS = ("from", "to", "paper", "ours [95 %]", "by seed", "trend")
EXPLANATION = (
    "What *to* has more than *from*, in dB SI-SDR; a row and, after it, its inference iterations. *ours*: mean of the "
    "mixtures' differences, each the mean over the seeds that both rows have, with its 95 % interval over mixtures, "
    "which says nothing of other seeds; *by seed*: each seed's own mean. *trend*: it *agrees* with the paper's sign, "
    "or *disagrees*, where the interval leaves out zero and no seed says otherwise; else it *can't be told*. Where the "
    "paper has no difference, which its one digit tells to 0.1 dB, the interval has to lie within that, or beyond it. "
    "Pairs of which not both have been run are left out."
)

UNTOLD = "can't be told"
ROUNDING_DB = 0.1  # of a difference of two of the paper's numbers

Scores = Mapping[int, Mapping[int, Mapping[str, float]]]  # of a row: seed -> iterations -> mixture -> SI-SDR in dB


def render_questions(
    questions: Mapping[str, Sequence[tuple[PaperNumber, PaperNumber]]], runs: Mapping[str, Mapping[int, ScoredSet]]
) -> Iterator[str]:
    """Markdown with a table for each question of which a pair has been run; nothing where there is none.

    Args:
        questions: pairs of numbers
        runs: row -> seed -> where it was scored
    """
    asked = {number.row.name for pairs in questions.values() for pair in pairs for number in pair}
    scores: dict[str, Scores] = {
        row: {seed: mixture_means(read_scores(run.folder / "scores.csv"), "si_sdr_db") for seed, run in seeds.items()}
        for row, seeds in runs.items()
        if row in asked
    }
    tables = {
        question: [line for pair in pairs if (line := _line(*pair, scores))] for question, pairs in questions.items()
    }
    if any(tables.values()):
        yield EXPLANATION
    for question, lines in tables.items():
        if lines:
            yield f"**{question}**"
            yield render_table(COLUMNS, "llrrrl", lines)


def paired_difference(first: Mapping[int, Mapping[str, float]], second: Mapping[int, Mapping[str, float]]) -> Mean:
    """Mean of second - first over mixtures, each the mean over seeds; both are seed -> mixture -> dB, equal in keys."""
    common = sorted(set.intersection(*(set(values) for side in (first, second) for values in side.values())))
    return mean_interval([statistics.fmean(second[seed][utt] - first[seed][utt] for seed in first) for utt in common])


def judge(paper_db: float, ours: Mean, by_seed: Sequence[float]) -> str:
    """Whether a difference has the sign that the paper's has, as far as its interval and its seeds can tell."""
    if ours.low is None or ours.high is None:
        return UNTOLD
    if not paper_db:
        within = ours.low >= -ROUNDING_DB and ours.high <= ROUNDING_DB
        beyond = ours.low > ROUNDING_DB or ours.high < -ROUNDING_DB
        return "agrees" if within else "disagrees" if beyond else UNTOLD
    if ours.low <= 0 <= ours.high or min(by_seed) <= 0 <= max(by_seed):
        return UNTOLD
    return "agrees" if ours.low * paper_db > 0 else "disagrees"


def _line(first: PaperNumber, second: PaperNumber, scores: Mapping[str, Scores]) -> list[str] | None:
    sides = [_after(number.iterations, scores.get(number.row.name, {})) for number in (first, second)]
    seeds = sorted(sides[0].keys() & sides[1].keys())
    if not seeds:
        return None
    before, after = ({seed: side[seed] for seed in seeds} for side in sides)
    ours = paired_difference(before, after)
    by_seed = [paired_difference({0: before[seed]}, {0: after[seed]}).mean or 0.0 for seed in seeds]
    paper_db = second.db - first.db
    return [
        *(f"`{number.row.name}` {number.iterations}" for number in (first, second)),
        f"{paper_db:+.1f}",
        format_mean(vars(ours)),
        ", ".join(f"{mean:+.2f}" for mean in by_seed),
        judge(round(paper_db, 1), ours, by_seed),
    ]


def _after(iterations: int, scores: Scores) -> dict[int, Mapping[str, float]]:
    """Seed -> mixture -> SI-SDR, of the seeds whose estimates go that far."""
    return {seed: found[iterations] for seed, found in scores.items() if iterations in found}
