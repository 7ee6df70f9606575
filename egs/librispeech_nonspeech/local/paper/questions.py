"""The paper's questions: differences between its rows, mixture by mixture, and whether ours tell the same."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from itersep.report.markdown import format_mean, render_table
from itersep.score.metrics import Mean, mean_interval
from paper.rows import PaperNumber
from paper.scales import Runs

COLUMNS = ("from", "to", "paper", "ours [95 %]", "by seed", "trend")
EXPLANATION = (
    "What *to* has more than *from*, in dB SI-SDR; a row and, after it, its inference iterations. *ours*: mean of the "
    "mixtures' differences, each the mean over the seeds that both rows have, with its 95 % interval over mixtures, "
    "which says nothing of other seeds; *by seed*: each seed's own mean. *trend*: it *agrees* with the paper's sign, "
    "or *disagrees*, where the interval leaves out zero and no seed says otherwise; else it *can't be told*. *By one "
    "seed*: of two trainings, whose chances the interval does not know. Where the paper has no difference, which its "
    "one digit tells to 0.1 dB, interval and seeds have to lie within that, or beyond it. Pairs of which not both have "
    "been run are left out."
)

UNTOLD = "can't be told"
BY_ONE_SEED = ", by one seed"
ROUNDING_DB = 0.1  # of a difference of two of the paper's numbers


@dataclass(frozen=True)
class Answer:
    """What one of the paper's numbers has more than another, there and here, in dB."""

    first: PaperNumber
    second: PaperNumber
    ours: Mean  # of the mixtures' differences
    by_seed: tuple[float, ...]

    @property
    def paper_db(self) -> float:
        """The paper's difference, to its one digit."""
        return round(self.second.db - self.first.db, 1)

    @property
    def trend(self) -> str:
        """Whether ours has the paper's sign, as far as can be told; what one seed of two trainings tells is marked."""
        told = judge(self.paper_db, self.ours, self.by_seed)
        alone = len(self.by_seed) == 1 and self.first.row is not self.second.row
        return told + BY_ONE_SEED if alone and told != UNTOLD else told


def answer_questions(
    questions: Mapping[str, Sequence[tuple[PaperNumber, PaperNumber]]], runs: Runs
) -> dict[str, list[Answer]]:
    """Question -> the answers of the pairs that both have been run with a seed; questions without any are left out."""
    answers = {
        question: [answer for pair in pairs if (answer := _answer(*pair, runs))]
        for question, pairs in questions.items()
    }
    return {question: given for question, given in answers.items() if given}


def render_answers(answers: Mapping[str, Sequence[Answer]]) -> Iterator[str]:
    """Markdown with a table for each question."""
    yield EXPLANATION
    for question, given in answers.items():
        yield f"**{question}**"
        yield render_table(COLUMNS, "llrrrl", [_line(answer) for answer in given])


def paired_difference(first: Mapping[int, Mapping[str, float]], second: Mapping[int, Mapping[str, float]]) -> Mean:
    """Mean of second - first over mixtures, each the mean over seeds; both are seed -> mixture -> dB, equal in keys."""
    common = sorted(set.intersection(*(set(values) for side in (first, second) for values in side.values())))
    return mean_interval([statistics.fmean(second[seed][utt] - first[seed][utt] for seed in first) for utt in common])


def judge(paper_db: float, ours: Mean, by_seed: Sequence[float]) -> str:
    """Whether a difference has the sign that the paper's has, as far as its interval and its seeds can tell."""
    if ours.low is None or ours.high is None:
        return UNTOLD
    if not paper_db:
        least, most = min(ours.low, *by_seed), max(ours.high, *by_seed)
        within = least >= -ROUNDING_DB and most <= ROUNDING_DB
        beyond = least > ROUNDING_DB or most < -ROUNDING_DB
        return "agrees" if within else "disagrees" if beyond else UNTOLD
    if ours.low <= 0 <= ours.high or min(by_seed) <= 0 <= max(by_seed):
        return UNTOLD
    return "agrees" if ours.low * paper_db > 0 else "disagrees"


def _answer(first: PaperNumber, second: PaperNumber, runs: Runs) -> Answer | None:
    sides = [_by_seed(runs, number) for number in (first, second)]
    seeds = sorted(sides[0].keys() & sides[1].keys())
    if not seeds:
        return None
    before, after = ({seed: side[seed] for seed in seeds} for side in sides)
    ours = paired_difference(before, after)
    if ours.mean is None:  # no mixture in common
        return None
    return Answer(first, second, ours, tuple(paired_difference({0: before[s]}, {0: after[s]}).mean for s in seeds))


def _by_seed(runs: Runs, number: PaperNumber) -> dict[int, dict[str, float]]:
    """Seed -> mixture -> SI-SDR, of the runs of a number's row that go as far as it."""
    same = runs.get(number.row.name, [])
    return {run.seed: run.si_sdr_db[number.iterations] for run in same if number.iterations in run.si_sdr_db}


def _line(answer: Answer) -> list[str]:
    return [
        *(f"`{number.row.name}` {number.iterations}" for number in (answer.first, answer.second)),
        f"{answer.paper_db:+.1f}",
        format_mean(vars(answer.ours)),
        ", ".join(f"{mean:+.2f}" for mean in answer.by_seed),
        answer.trend,
    ]
