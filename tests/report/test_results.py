"""The results page: all of it from the experiments' files, equal for equal files."""

import json
import math
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from itersep.report.experiment import ExperimentRecord, read_experiments
from itersep.report.figures import draw_figures
from itersep.report.markdown import format_duration, format_mean
from itersep.report.results import render_results
from itersep.separate.folder import model_sha256
from itersep.system.errors import UserError
from itersep.train.checkpoint import save_checkpoint
from itersep.train.config import Experiment

Writer = Callable[..., Path]
GAINS = {"time": (4.0, 5.25, 5.5), "freq": (3.5, 4.75, 4.5)}


@pytest.fixture
def experiments(tmp_path: Path, write_experiment: Writer) -> list[str]:
    """Two experiments on the same mixtures."""
    return [str(write_experiment(tmp_path / "exp" / name, gains)) for name, gains in GAINS.items()]


def render(experiments: list[str]) -> str:
    return render_results(read_experiments(experiments), "results", "report.py exp/a exp/b")


def rows(page: str, name: str) -> list[list[str]]:
    """The cells of a table's rows that start with a name."""
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith(f"| {name} |")]
    return [[cell.strip() for cell in line] for line in lines]


def test_every_iteration_of_every_experiment_has_its_row(experiments: list[str]) -> None:
    page = render(experiments)
    for name, gains in GAINS.items():
        for i, gain in enumerate(gains, start=1):
            row = rows(page, name)[i - 1]
            assert row[1] == str(i)
            assert [float(cell.split()[0]) for cell in row[2:5]] == [gain - 0.5, gain, gain - 0.5]
            low, high = map(float, re.search(r"\[(.*), (.*)\]", row[2]).groups())
            assert low < gain - 0.5 < high
            assert row[5] == ("–" if i == 1 else "0.0 %")


def test_the_mixture_has_one_row_unless_the_mixtures_differ(
    experiments: list[str], tmp_path: Path, write_experiment: Writer
) -> None:
    assert [row[1:3] for row in rows(render(experiments), "mixture")] == [["0", "-0.50 [-0.81, -0.19]"]]
    other = write_experiment(tmp_path / "exp" / "other", (1.0,), mixture_db=2.0)
    assert len(rows(render([*experiments, str(other)]), "mixture")) == 2


def test_the_page_tells_how_each_model_was_trained(experiments: list[str]) -> None:
    page = render(experiments)
    row = rows(page, "freq")[-1]
    assert row[1:6] == ["1,234,567", "2", "5 (3)", "400", "2 min 32 s"]
    assert page.count("train.py --out it\nseparate.py --model there\nscore.py --data here") == 2
    assert rows(page, "best")[0] == ["best", "+5.50", "`mix/m-1.wav`", "`spk1/m-1.wav`<br>`spk2/m-1.wav`"]


def test_one_setting_changed_is_another_digest(experiments: list[str]) -> None:
    time, freq = (record.config_digest for record in read_experiments(experiments))
    assert time == freq and len(time) == 12
    (Path(experiments[1]) / "config.yaml").write_text("model: {iterations: 3}\n")
    assert read_experiments(experiments)[1].config_digest != freq


@pytest.mark.parametrize("missing", ["run.json", "history.jsonl", "config.yaml"])
def test_what_is_not_there_is_left_open(experiments: list[str], missing: str) -> None:
    whole = render(experiments)
    (Path(experiments[0]) / missing).unlink()
    page = render(experiments)
    assert "–" in rows(page, "time")[-1]
    assert rows(page, "time")[:-1] == rows(whole, "time")[:-1] and rows(page, "freq") == rows(whole, "freq")


def test_the_iterations_trained_for_are_told_by_the_separation_where_there_is_no_configuration(
    experiments: list[str],
) -> None:
    folder = Path(experiments[0])
    (folder / "config.yaml").unlink()
    path = folder / "test_2mix/separation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"trained_for": 1}))
    assert [scored.trained_for for scored in read_experiments(experiments)[0].sets] == [1]


def test_yaml_files_are_those_of_the_command_blanks_and_all(experiments: list[str]) -> None:
    words = ["train.py", "--config=../my conf/a.yaml", "--config", "b.yaml", "--out", "exp/my a"]
    (Path(experiments[0]) / "run.json").write_text(json.dumps({"command": shlex.join(words)}))
    assert read_experiments(experiments)[0].config_files == ["../my conf/a.yaml", "b.yaml"]


def test_equal_files_make_an_equal_page_with_equal_figures(experiments: list[str], tmp_path: Path) -> None:
    pages = [render(experiments), render(experiments)]
    assert pages[0] == pages[1]
    for name in ("once", "twice"):
        draw_figures(read_experiments(experiments), tmp_path / name)
    figures = sorted(path.name for path in (tmp_path / "once").iterdir())
    assert figures == sorted(re.findall(r"\(results/(.*?)\)", pages[0]))
    assert all((tmp_path / "once" / f).read_bytes() == (tmp_path / "twice" / f).read_bytes() for f in figures)
    for folder in map(Path, experiments):
        assert (folder / "test_2mix" / "sisdr_over_iterations.png").exists()
        assert (folder / "training_curves.png").exists()


def test_bins_have_their_tables_and_a_figure_where_there_are_any(experiments: list[str], tmp_path: Path) -> None:
    assert "in bins" not in render(experiments)
    for n, folder in enumerate(experiments):
        path = Path(folder) / "test_2mix" / "summary.json"
        whole = [{"iteration": i, "si_sdr_db": {"mean": i + n, "low": i + n - 1, "high": i + n + 1}} for i in range(4)]
        bins = [{"bin": label, "mixtures": 5 + k, "iterations": whole} for k, label in enumerate("abcd")]
        path.write_text(json.dumps(json.loads(path.read_text()) | {"bins": {"overlap": bins, "t60": bins}}))
    page = render(experiments)
    assert page.count("| number of mixtures |  | 5 | 6 | 7 | 8 |") == 2
    assert rows(page, "freq")[3:5] == [["freq", "2", *["3.00 ± 1.00"] * 4]] * 2  # after the 2 iterations trained for
    for name in ("once", "twice"):
        draw_figures(read_experiments(experiments), tmp_path / name)
    drawn = [(tmp_path / name / "test_2mix_sisdr_in_bins.png").read_bytes() for name in ("once", "twice")]
    assert drawn[0] == drawn[1] and "(results/test_2mix_sisdr_in_bins.png)" in page


def test_a_better_experiment_is_drawn_higher(experiments: list[str], tmp_path: Path) -> None:
    draw_figures(read_experiments(experiments), tmp_path)
    image = imread(tmp_path / "test_2mix_sisdr_over_iterations.png")[..., :3]
    plot = image[:, : image.shape[1] * 3 // 4]  # without the legend
    heights = [np.nonzero(np.abs(plot - np.array(colour) / 255).max(-1) < 0.02)[0].mean()
               for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00))]  # fmt: skip
    assert heights[0] < heights[1]  # rows of an image count downwards


def test_experiments_of_one_name_are_told_apart_by_path(experiments: list[str], tmp_path: Path) -> None:
    copy = str(tmp_path / "elsewhere" / "time")
    shutil.copytree(experiments[0], copy)
    names = [record.name for record in read_experiments([experiments[0], copy])]
    assert names == [experiments[0], copy]


def test_scores_of_another_model_than_the_estimates_are_refused(experiments: list[str]) -> None:
    path = Path(experiments[0]) / "test_2mix" / "separation.json"
    path.write_text(path.read_text().replace('"0f"', '"0c"'))
    with pytest.raises(UserError, match="time/test_2mix/summary.json: does not belong to the estimates"):
        read_experiments(experiments)


def test_scores_of_other_weights_than_best_pt_has_are_left_out(
    experiments: list[str], experiment: Callable[..., Experiment], caplog: pytest.LogCaptureFixture
) -> None:
    built, folder = experiment(), Path(experiments[0])
    save_checkpoint(folder / "best.pt", {"config": built.config, "model": built.model.state_dict()})
    old, other = read_experiments(experiments)
    assert not old.sets and other.sets and "time/test_2mix: left out" in caplog.text
    with pytest.raises(UserError, match="run scoring first"):
        read_experiments(experiments[:1])
    digest = model_sha256(built.model, built.config["model"])
    for name in ("separation.json", "summary.json"):
        path = folder / "test_2mix" / name
        path.write_text(path.read_text().replace('"0f"', f'"{digest}"'))
    assert read_experiments(experiments)[0].sets


def test_silent_signals_that_means_leave_out_are_counted(experiments: list[str]) -> None:
    assert "left out of the means" not in render(experiments)
    path = Path(experiments[0]) / "test_2mix" / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"silent_references": ["m1 speaker 2"]}))
    (line,) = [line for line in render(experiments).splitlines() if "left out of the means" in line]
    assert line.startswith("time: ") and line.endswith("1 mixtures with silent speakers.")


def test_turns_of_a_training_on_several_machines_are_told(experiments: list[str]) -> None:
    first = {"device": "cpu", "precision": "bf16", "commit": "c0ffee" * 6 + "c0ff-dirty", "epochs": 3}
    second = {"device": "cpu", "precision": "fp32", "commit": "decade" * 6 + "deca"}
    (Path(experiments[0]) / "run.json").write_text(json.dumps(second | {"before": [first]}))
    row = rows(render(experiments), "time")[-1]
    assert row[6:8] == ["cpu, bf16 until epoch 3; cpu, fp32", "`c0ffeec0-dirty`, `decadede`"]


def test_broken_files_are_named(experiments: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such experiment"):
        read_experiments([*experiments, "nowhere"])
    (tmp_path / "exp" / "untried").mkdir()
    with pytest.raises(UserError, match="untried: no <set>/summary.json"):
        read_experiments([str(tmp_path / "exp" / "untried")])
    for name in ("run.json", "history.jsonl", "test_2mix/summary.json"):
        path = Path(experiments[0]) / name
        whole = path.read_text()
        path.write_text(whole[: len(whole) // 2])
        with pytest.raises(UserError, match=f"{name}(:3)?: is not JSON"):
            read_experiments(experiments)
        path.write_text(whole)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (452, "7 min 32 s"), (11112, "3 h 05 min")]
)
def test_durations_are_rounded_to_what_matters(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_an_undefined_mean_is_a_dash() -> None:
    assert format_mean({"mean": None, "low": None, "high": None}) == "–"
    assert format_mean({"mean": 1.234, "low": None, "high": None}) == "1.23"


def epochs(losses: list[float], **train: int) -> ExperimentRecord:
    """A record of an experiment with these validation losses, one an epoch."""
    history = [{"epoch": n, "valid_loss": loss} for n, loss in enumerate(losses, start=1)]
    return ExperimentRecord("it", Path("exp/it"), {}, {"train": train}, "0f", history, [])


def test_an_epoch_without_a_loss_is_not_the_best():
    assert epochs([math.nan, -3.0, -2.0], epochs=9, patience=9).best_epoch["epoch"] == 2


def test_epochs_of_one_pass_are_not_stale():
    losses = [-9.0] + [-1.0] * 8
    assert epochs(losses, epochs=45, patience=8).finished
    assert not epochs(losses, epochs=45, patience=8, one_pass_epochs=5).finished
    assert epochs([-9.0] + [-1.0] * 12, epochs=45, patience=8, one_pass_epochs=5).finished
