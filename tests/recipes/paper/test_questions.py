"""Differences between rows of a paper, and what they say of its questions."""

import itertools
import math
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from paper.questions import Answer, judge, paired_difference
from paper.rows import PaperNumber, read_paper
from paper.scales import compare
from paper.tables import render_paper

from itersep.report.experiment import read_experiments
from itersep.score.metrics import Mean, mean_interval

ROWS = Path(__file__).resolve().parents[3] / "egs/librispeech_nonspeech/local/rows.yaml"


def test_a_difference_is_that_of_each_mixture():
    """Mixtures differ by far more than the rows do: only pairs show it. Those with a silent signal are left out."""
    first = {0: {"a": -9.0, "b": 12.0, "c": 3.0, "silent": 1.0}, 1: {"a": -8.0, "b": 11.0, "c": 5.0}}
    second = {0: {"a": -8.9, "b": 12.3, "c": 3.2}, 1: {"a": -7.7, "b": 11.1, "c": 5.2}}
    assert vars(paired_difference(first, second)) == pytest.approx(vars(Mean(0.2, 0.2, 0.2)))
    one_seed = paired_difference({0: first[0]}, {0: second[0]})
    assert vars(one_seed) == pytest.approx(vars(mean_interval([0.1, 0.3, 0.2])))


@pytest.mark.parametrize(
    ("paper_db", "mean", "half_width", "by_seed", "trend"),
    [
        (0.4, 0.2, 0.1, [0.2], "agrees"),
        (-0.4, -0.2, 0.1, [-0.3, -0.1], "agrees"),
        (-0.4, 0.2, 0.1, [0.2], "disagrees"),
        (0.0, -0.2, 0.09, [-0.2], "disagrees"),
        (0.0, -0.08, 0.05, [-0.08], "can't be told"),
        (0.0, -0.05, 0.04, [-0.05], "agrees"),
        (0.0, 0.0, 0.05, [0.8, -0.8], "can't be told"),
        (0.0, 0.15, 0.04, [0.5, -0.2], "can't be told"),
        (0.0, 0.25, 0.04, [0.2, 0.3], "disagrees"),
        (0.4, 0.2, 0.3, [0.2], "can't be told"),
        (0.4, 0.2, 0.1, [0.5, -0.1], "can't be told"),
    ],
)
def test_only_what_intervals_and_seeds_carry_is_told(paper_db, mean, half_width, by_seed, trend):
    assert judge(paper_db, Mean(mean, mean - half_width, mean + half_width), by_seed) == trend


def test_two_trainings_with_one_seed_are_told_with_reserve():
    rows = {row.name: row for row in read_paper(ROWS).rows}
    one, two = PaperNumber(rows["freq_simo1_siso2"], 1, 9.1), PaperNumber(rows["freq_simo1_siso2_iter2"], 2, 9.6)
    falls = PaperNumber(rows["freq_simo1_siso2"], 2, 3.4)
    more, less = Mean(0.3, 0.2, 0.4), Mean(-0.3, -0.4, -0.2)
    assert Answer(one, two, more, (0.3,)).trend == "agrees, by one seed"
    assert Answer(one, two, less, (-0.3,)).trend == "disagrees, by one seed"
    assert Answer(one, two, Mean(0.1, -0.1, 0.3), (0.1,)).trend == "can't be told"
    assert Answer(one, two, more, (0.25, 0.35)).trend == "agrees"
    assert Answer(one, falls, less, (-0.3,)).trend == "agrees"  # one training: both numbers are of the same weights


def test_one_mixture_tells_nothing():
    assert judge(0.4, paired_difference({0: {"a": 1.0}}, {0: {"a": 2.0}}), [1.0]) == "can't be told"


def test_the_page_answers_what_has_been_run(tmp_path, monkeypatch, write_experiment: Callable[..., Path]):
    monkeypatch.chdir(tmp_path)
    paper, number = read_paper(ROWS), itertools.count()

    def page(*runs: tuple[str, int, tuple[float, ...]]) -> str:
        folders: list[str] = []
        for name, seed, gains in runs:
            config = yaml.safe_load(yaml.safe_dump(next(row for row in paper.rows if row.name == name).config))
            config["train"] |= {"seed": seed, "patience": 2}
            folders.append(str(write_experiment(tmp_path / str(next(number)), gains, config=config)))
        return "\n".join(render_paper(compare(paper, read_experiments(folders)), "results"))

    one, two, three = "freq_simo1_siso2", "freq_simo1_siso2_iter2", "freq_simo1_siso2_iter3"
    lines = page((one, 0, (6.0, 3.0)), (two, 0, (6.5, 7.0)), (two, 1, (6.5, 7.5)), (one, 1, (6.0, 3.5)))
    assert f"| `{one}` 1 | `{two}` 2 | +0.5 | 1.25 [1.25, 1.25] | +1.00, +1.50 | agrees |" in lines
    assert f"| `{one}` 1 | `{one}` 2 | -5.7 | -2.75 [-2.75, -2.75] | -3.00, -2.50 | agrees |" in lines
    assert f"| `{two}` 1 | `{two}` 2 | +0.4 | 0.75 [0.75, 0.75] | +0.50, +1.00 | agrees |" in lines
    assert lines.count("**Are more iterations in training better?**") == 1 and f"`{three}` 3 | +" not in lines
    assert "oracle's input" not in lines  # neither row is there
    assert "| +0.00 | can't be told |" in page((one, 0, (6.0,)), (two, 1, (6.5, 6.5)))  # of the second model alone
    assert "The paper's questions" not in page((one, 0, (6.0,)), (two, 1, (6.5,)))  # no seed in common


def test_the_papers_own_differences(tmp_path):
    """Its numbers, as section 4 has them."""
    questions = read_paper(ROWS).questions
    told = {question: [second.db - first.db for first, second in pairs] for question, pairs in questions.items()}
    assert len(told) == 8 and not any(math.isnan(value) for values in told.values() for value in values)
    assert told["Does a model stand iterations that it was not trained for?"][0] == pytest.approx(3.4 - 9.1)
    assert statistics.fmean(told["Is a deeper SISO part better than a deeper SIMO part?"]) > 0.2
