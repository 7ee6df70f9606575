"""Scores in bins of what was drawn."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from itersep.report.experiment import ScoredSet
from itersep.report.figures import draw_bins
from itersep.score.bins import AXES, summarize_bins
from itersep.score.registry import METRICS
from itersep.score.scores import Score
from itersep.simulate.manifest import Mixture, NoiseDraw, SpeakerDraw
from itersep.system.errors import UserError

PLACE = (1.0, 1.0, 1.0)


def mixture(name: str, overlap: float, t60_s: float = 0.25, noise_snr_db: float | None = 15.0) -> Mixture:
    speakers = tuple(SpeakerDraw(f"s{c}", 0, (2.0, 1.0 + c, 1.5), 0.0) for c in (1, 2))
    noise = None if noise_snr_db is None else NoiseDraw("n", 0, (2.0, 1.0, 1.0), noise_snr_db)
    return Mixture(name, 8000, 8000, (5.0, 5.0, 3.0), t60_s, PLACE, overlap, speakers, noise, 0.9)


def scores_of(name: str, *values: float) -> list[Score]:
    """Scores of both speakers, 1 dB apart, whose means after each iteration are ``values``."""
    return [Score(name, c, i, c, values={"si_sdr_db": v + c - 1.5}) for i, v in enumerate(values) for c in (1, 2)]


def test_bins_are_means_of_their_mixtures_and_hold_each_once() -> None:
    rng = np.random.default_rng(0)
    overlaps, values = rng.uniform(0, 1, 40), rng.normal(5, 2, 40)
    mixtures = [mixture(f"m{k}", overlap) for k, overlap in enumerate(overlaps)]
    scores = [score for k, value in enumerate(values) for score in scores_of(f"m{k}", 0.0, value)]
    bins = summarize_bins(scores, mixtures)
    assert [one["bin"] for one in bins["overlap"]] == ["< 25", "25–50", "50–75", "≥ 75"]
    for k, one in enumerate(bins["overlap"]):
        inside = values[(overlaps >= k / 4) & (overlaps < (k + 1) / 4)]
        assert one["mixtures"] == len(inside) > 1
        assert one["iterations"][1]["si_sdr_db"]["mean"] == pytest.approx(inside.mean())
        assert one["iterations"][0]["si_sdr_db"]["mean"] == pytest.approx(0.0)
    for name in AXES:
        assert sum(one["mixtures"] for one in bins[name]) == 40
    assert [one["mixtures"] for one in bins["t60"]] == [0, 40, 0, 0]
    assert [one["mixtures"] for one in bins["noise_snr"]] == [0, 0, 40, 0]  # 15 dB lies on an edge: above it
    assert bins["t60"][0]["iterations"][1]["si_sdr_db"]["mean"] is None


def test_bins_are_drawn_after_the_last_iteration_trained_for() -> None:
    rows = [{"iteration": i, "si_sdr_db": {"mean": float(i), "low": None, "high": None}} for i in range(4)]
    bins = {"t60": [{"bin": label, "mixtures": 1, "iterations": rows} for label in AXES["t60"].labels()]}
    axes = Figure().add_subplot()
    summary = {"iterations": rows, "bins": bins}
    tried = [("x", ScoredSet("test", Path("test"), summary, command="", trained_for=2))]
    draw_bins(axes, "t60", tried, METRICS["si_sdr_db"])
    assert [set(line.get_ydata()) for line in axes.lines] == [{0.0}, {2.0}]


def test_values_beyond_the_papers_range_are_in_the_outer_bins() -> None:
    mixtures = [mixture("a", 0.0, 0.9, -5.0), mixture("b", 1.0, 0.12, 60.0)]
    bins = summarize_bins([*scores_of("a", 1.0), *scores_of("b", 2.0)], mixtures)
    counts = {name: [one["mixtures"] for one in of_axis] for name, of_axis in bins.items()}
    assert counts == {"overlap": [1, 0, 0, 1], "t60": [1, 0, 0, 1], "noise_snr": [1, 0, 0, 1]}


def test_without_noise_there_is_nothing_to_say_of_its_level() -> None:
    assert summarize_bins(scores_of("a", 1.0), [mixture("a", 0.5, 0.25, None)]).keys() == {"overlap", "t60"}


def test_silent_signals_are_left_out() -> None:
    scores = [*scores_of("a", 3.0), Score("b", 1, 0, 0, True, {"si_sdr_db": 5.0}), Score("b", 2, 0, 0, False)]
    overlap = summarize_bins(scores, [mixture("a", 0.3), mixture("b", 0.3)])["overlap"]
    assert [row["si_sdr_db"]["mean"] for one in overlap for row in one["iterations"]] == [None, 3.0, None, None]
    assert [one["mixtures"] for one in overlap] == [0, 1, 0, 0]


def test_a_scored_mixture_that_was_not_drawn_is_named() -> None:
    with pytest.raises(UserError, match="mixtures.jsonl: has no 'b'"):
        summarize_bins(scores_of("b", 1.0), [mixture("a", 0.5)])
