"""The curve of SI-SDR against iterations used, from scores whose changes are known."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from itersep.report.experiment import read_experiments
from itersep.report.figures import draw_figures
from itersep.report.results import render_results
from itersep.score.scores import Score, read_scores, write_scores
from itersep.score.stopping import THRESHOLDS_DB, last_iteration, summarize_stopping


def scores(changes_db: dict[str, list[float]]) -> list[Score]:
    """Two speakers a mixture, whose SI-SDR after iteration i is i dB; changes from the second iteration on."""
    lines = []
    for utt, changes in changes_db.items():
        for i, change in enumerate([0.0, 0.0, *changes]):
            values = {"si_sdr_db": float(i)} | ({"change_db": change} if i > 1 else {})
            lines += [Score(utt, c, i, c, values=values) for c in (1, 2)]
    return lines


def test_the_first_iteration_that_changes_little_is_the_last() -> None:
    changes = {2: -5.0, 3: -10.0, 4: -20.0, 5: -15.0}
    for threshold, expected in ((0.0, 2), (-5.0, 3), (-9.0, 3), (-12.0, 4), (-25.0, 5)):
        assert last_iteration(changes, threshold) == expected


def test_lower_thresholds_use_more_iterations_up_to_all() -> None:
    rows = summarize_stopping(scores({"a": [-7.0, -14.0, -21.0], "b": [-10.0, -20.0, -30.0]}))
    assert [row["threshold_db"] for row in rows] == list(THRESHOLDS_DB)
    used = [row["mean_iterations"] for row in rows]
    assert used == sorted(used) and used[0] == 2 and used[-1] == 4
    assert used[list(THRESHOLDS_DB).index(-12)] == 3 and used[list(THRESHOLDS_DB).index(-15)] == 3.5
    assert [row["si_sdr_db"]["mean"] for row in rows] == used  # iteration i scores i dB here


def test_what_never_changes_ends_with_the_second_iteration() -> None:
    rows = summarize_stopping(scores({"a": [-math.inf] * 3}))
    assert {row["mean_iterations"] for row in rows} == {2.0}


def test_with_three_iterations_there_is_one_to_save() -> None:
    rows = summarize_stopping(scores({"a": [-10.0, -30.0]}))
    assert [row["mean_iterations"] for row in rows] == [2.0 if t > -10 else 3.0 for t in THRESHOLDS_DB]


def test_with_two_iterations_there_is_nothing_to_end() -> None:
    assert summarize_stopping(scores({"a": [-7.0]})) == []


def test_the_changes_survive_the_csv(tmp_path: Path) -> None:
    written = scores({"a": [-7.1234, -math.inf, -21.0]})
    write_scores(tmp_path / "scores.csv", written)
    read = read_scores(tmp_path / "scores.csv")
    assert summarize_stopping(read) == summarize_stopping(written)
    assert [s.get("change_db") for s in read[4:]] == [s.get("change_db") for s in written[4:]]


@pytest.fixture
def experiment_folder(tmp_path: Path, write_experiment: Callable[..., Path]) -> Path:
    folder = write_experiment(tmp_path / "exp" / "freq", (4.0, 5.0, 5.5))
    path = folder / "test_2mix" / "summary.json"
    stopping = summarize_stopping(scores({"a": [-7.0, -14.0, -21.0], "b": [-10.0, -20.0, -30.0]}))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"stopping": stopping}))
    return folder


def test_the_results_page_has_the_curve_as_a_table_and_a_figure(experiment_folder: Path, tmp_path: Path) -> None:
    records = read_experiments([str(experiment_folder)])
    page = render_results(records, "results", "report.py exp/freq")
    assert "| freq | -12 | 3.00 | 3.00" in page and "| freq | -15 | 3.50 | 3.50" in page
    draw_figures(records, tmp_path / "results")
    assert "(results/test_2mix_sisdr_by_iterations_used.png)" in page
    assert (tmp_path / "results" / "test_2mix_sisdr_by_iterations_used.png").exists()
