"""Figures of a paper's rows beside ours."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from matplotlib.image import imread
from paper.figures import draw_paper_figures, plot_answers, plot_compute, plot_inference
from paper.questions import Answer
from paper.rows import PaperNumber, PaperRow, read_paper
from paper.scales import Compared, compare
from paper.tables import render_paper

from itersep.report.experiment import read_experiments
from itersep.report.figures import COLOURS
from itersep.score.metrics import Mean

ROWS = Path(__file__).resolve().parents[3] / "egs/librispeech_nonspeech/local/rows.yaml"
ITERATIONS = "inference_iterations"
ONE, TWO, THREE = "freq_simo1_siso2", "freq_simo1_siso2_iter2", "freq_simo1_siso2_iter3"


@pytest.fixture
def compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_experiment: Callable[..., Path]) -> Compared:
    """Two rows at one scale, the first with two seeds; and a row at another, which answers nothing."""
    monkeypatch.chdir(tmp_path)
    paper, folders = read_paper(ROWS), []
    for row, seed, epochs, gains in (
        (ONE, 0, 5, (6.0,)),
        (ONE, 1, 5, (6.5,)),
        (TWO, 0, 5, (6.5, 7.0)),
        (ONE, 0, 4, (5.0,)),
    ):
        config = yaml.safe_load(yaml.safe_dump(next(one for one in paper.rows if one.name == row).config))
        config["train"] |= {"seed": seed, "epochs": epochs}
        folders.append(str(write_experiment(tmp_path / str(len(folders)), gains, config=config)))
    return compare(paper, read_experiments(folders))


def rows_of(compared: Compared) -> list[PaperRow]:
    """Those of the first scale, in the paper's order."""
    return [row for row in compared.paper.rows if row.name in next(iter(compared.scales.values()))]


def places(image: Path, colour: str) -> tuple[float, float]:
    """Mean row and column of a colour's pixels, without the legend on the right."""
    pixels = imread(image)[..., :3]
    pixels = pixels[:, : pixels.shape[1] * 3 // 4]
    wanted = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    rows, columns = np.nonzero(np.abs(pixels - wanted).max(-1) < 0.02)
    return rows.mean(), columns.mean()


def test_the_page_names_the_figures_that_are_drawn(compared: Compared, tmp_path: Path) -> None:
    for name in ("once", "twice"):
        draw_paper_figures(compared, tmp_path / name)
    drawn = sorted(path.name for path in (tmp_path / "once").iterdir())
    assert drawn == sorted(re.findall(r"\(results/(.*?)\)", "\n".join(render_paper(compared, "results"))))
    by = ["paper1_answers.png"] + [f"paper{k}_sisdr_by_{what}.png" for k in (1, 2) for what in ("compute", ITERATIONS)]
    assert drawn == by
    assert all((tmp_path / "once" / f).read_bytes() == (tmp_path / "twice" / f).read_bytes() for f in drawn)


def test_a_seed_that_was_separated_less_often_is_drawn_as_far_as_it_goes(
    compared: Compared, tmp_path: Path, write_experiment: Callable[..., Path]
) -> None:
    whole = next(iter(compared.scales.values()))[TWO][0].record
    config = {**whole.config, "train": {**whole.config["train"], "seed": 1}}
    less = write_experiment(tmp_path / "less", (6.0,), config=config)
    again = compare(compared.paper, read_experiments([str(whole.folder), str(less)]))
    draw_paper_figures(again, tmp_path / "figures")
    assert (tmp_path / "figures/paper1_sisdr_by_compute.png").exists()


def test_nothing_is_drawn_of_what_was_not_run(tmp_path: Path) -> None:
    compared = compare(read_paper(ROWS), [])
    draw_paper_figures(compared, tmp_path)
    assert not list(tmp_path.iterdir()) and "![" not in "\n".join(render_paper(compared, "results"))


def test_more_is_drawn_further_right(tmp_path: Path) -> None:
    """The paper has more of the second; so have we, in the first answer, and less in the other."""
    rows = {row.name: row for row in read_paper(ROWS).rows}
    first, second = PaperNumber(rows[ONE], 1, 9.1), PaperNumber(rows[TWO], 2, 9.6)
    answers = [Answer(first, second, Mean(m, m - 0.1, m + 0.1), (m, m)) for m in (0.3, -0.3)]
    assert [answer.trend for answer in answers] == ["agrees", "disagrees"]
    plot_answers(tmp_path / "answers.png", {"Better?": answers})
    (agrees_y, agrees_x), (disagrees_y, disagrees_x) = (places(tmp_path / "answers.png", c) for c in COLOURS[:2])
    assert agrees_x > disagrees_x and agrees_y < disagrees_y


def test_a_better_row_is_drawn_higher_and_its_iterations_further_right(compared: Compared, tmp_path: Path) -> None:
    runs = next(iter(compared.scales.values()))
    assert {row: [run.seed for run in same] for row, same in runs.items()} == {ONE: [0, 1], TWO: [0]}
    plot_compute(tmp_path / "compute.png", rows_of(compared), runs)
    (one_y, one_x), (two_y, two_x) = (places(tmp_path / "compute.png", colour) for colour in COLOURS[:2])
    assert two_y < one_y and two_x > one_x


def test_iterations_beyond_training_are_drawn_too(
    compared: Compared, tmp_path: Path, write_experiment: Callable[..., Path]
) -> None:
    """A network trained with one iteration that falls by 4 dB: its line goes further right, and down."""
    whole = next(iter(compared.scales.values()))[ONE][0].record
    folders = {
        gains: str(write_experiment(tmp_path / f"sweep{len(gains)}", gains, config=whole.config))
        for gains in ((6.0,), (6.0, 2.0))
    }
    drawn = {}
    for gains, folder in folders.items():
        again = compare(compared.paper, read_experiments([folder]))
        plot_inference(tmp_path / "inference.png", rows_of(again), next(iter(again.scales.values())))
        plot_compute(tmp_path / "compute.png", rows_of(again), next(iter(again.scales.values())))
        drawn[len(gains)] = [places(tmp_path / name, COLOURS[0]) for name in ("inference.png", "compute.png")]
    (once_inference, once_compute), (twice_inference, twice_compute) = drawn[1], drawn[2]
    assert twice_inference[1] > once_inference[1] and twice_inference[0] != once_inference[0]
    assert twice_compute == once_compute  # which shows no more than it was trained for
