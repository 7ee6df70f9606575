"""A metric is one entry of the registry: a toy goes through everything, and what was scored before it is still read."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from itersep.report.card import render_card
from itersep.report.experiment import read_experiments
from itersep.report.figures import draw_figures
from itersep.report.page import render_page
from itersep.report.results import render_results
from itersep.score.metrics import mean_interval
from itersep.score.registry import METRICS, Metric, register
from itersep.score.scores import read_scores
from itersep.score.summary import mixture_means

RECORDS = Path(__file__).resolve().parents[2] / "egs/librispeech_nonspeech/records"
TOY = Metric(
    name="toy_percent",
    title="Toy",
    unit="%",
    better="lower",
    compute=lambda signals: 100 * signals.est.abs().amax(-1) / signals.mix.abs().max(),
    first=1,
    explanation="Toy is the peak of an estimate over that of the mixture",
)
CONFIG = {
    "model": {
        "sources": 2,
        "sample_rate": 8000,
        "iterations": 3,
        "filterbank": {"kind": "stft"},
        "separator": {"simo_blocks": 1, "siso_blocks": 2},
    },
    "data": {"mode": "rendered", "segment_s": 1.0, "simulation": {}},
}


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Metric:
    """A registry that has a metric more."""
    monkeypatch.setitem(METRICS, TOY.name, TOY)
    return TOY


def test_a_registered_metric_is_scored_and_shown_everywhere(
    toy: Metric, tmp_path: Path, write_audible: Callable, write_experiment: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []  # file names of figures, which need not be written here
    monkeypatch.setattr("itersep.report.figures.finish", lambda figure, path, *_, **__: drawn.append(path.name))
    [scored] = write_audible(tmp_path)
    before = write_experiment(tmp_path / "exp" / "before", (4.0, 5.0))  # was scored without it
    values = mixture_means(read_scores(scored / "test_2mix/scores.csv"), toy.name)
    mean = mean_interval(list(values[3].values()))
    records = read_experiments([str(scored), str(before)])
    assert records[0].sets[0].mean(3, toy.name) == pytest.approx(mean.mean)
    shown = f"{mean.mean:.2f} [{mean.low:.2f}, {mean.high:.2f}]"

    page = render_results(records, "results", "report.py")
    assert "| experiment | iterations | SI-SDR | SI-SDRi | SDR | Toy (%) | reassigned |" in page
    assert f"| {shown} | 100.0 % |" in page and "Toy is the peak of an estimate over that of the mixture, lower" in page
    (line,) = [line for line in page.splitlines() if line.startswith("| before | 2 | ")]
    assert line.endswith("| – | 0.0 % |")
    assert "Mean Toy in % and its 95 % interval, in bins" in page
    draw_figures(records, tmp_path / "results")
    for figure in ("over_iterations", "in_bins", "by_iterations_used"):
        assert f"(results/test_2mix_toy_{figure}.png)" in page and f"test_2mix_toy_{figure}.png" in drawn
    html = render_page(records)
    assert '<th scope="col" class=number>Toy (%)</th>' in html and "Mean Toy after each iteration" in html
    small = replace(records[0], config=CONFIG)
    card = render_card(small, small.sets, trained_on="", license_id="mit", where="there")
    assert "| SDR | Toy (%) |\n| ---: | ---: | ---: | ---: | ---: |\n| 0 (the mixture) | " in card and shown in card


@pytest.mark.parametrize("record", sorted(RECORDS.iterdir()), ids=lambda record: record.name)
def test_records_of_before_a_metric_keep_their_figures(toy: Metric, record: Path) -> None:
    [path] = record.glob("*/scores.csv.gz")
    summary = json.loads(path.with_name("summary.json").read_text())
    scores = read_scores(path.with_suffix(""))
    assert mixture_means(scores, toy.name) == {i: {} for i in range(len(summary["iterations"]))}
    means = mixture_means(scores, "si_sdr_db")
    for row in summary["iterations"]:
        interval = vars(mean_interval(list(means[row["iteration"]].values())))
        assert row["si_sdr_db"] == pytest.approx(interval, rel=1e-9)  # SciPy's quantiles differ between versions


def test_two_metrics_of_a_name_are_refused() -> None:
    with pytest.raises(ValueError, match="is called 'sdr_db' already"):
        register(replace(TOY, name="sdr_db"))
