"""The paper's tables beside what was measured."""

import json
import re
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from paper.rows import PaperRow, PaperTables, read_paper
from paper.scales import compare
from paper.tables import render_paper

from itersep.report.experiment import read_experiments
from itersep.report.results import render_results
from itersep.score.metrics import mean_interval
from itersep.system.errors import UserError
from itersep.train.dataset import data_sizes

ROWS = Path(__file__).resolve().parents[3] / "egs/librispeech_nonspeech/local/rows.yaml"
Train = Callable[..., Path]


@pytest.fixture(scope="module")
def paper() -> PaperTables:
    return read_paper(ROWS)


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paper: PaperTables, write_experiment: Train) -> Train:
    """Leaves behind what training and scoring a row would; settings such as {"train.epochs": 5} are changed."""
    monkeypatch.chdir(tmp_path)  # no data directory is in sight

    def write(row: str, gains: tuple[float, ...], changes: dict[str, Any] | None = None, name: str = "") -> Path:
        config = yaml.safe_load(yaml.safe_dump(find(paper, row).config))
        for setting, value in {"train.patience": 2, **(changes or {})}.items():  # 5 epochs are written, the 3rd is best
            part, key = setting.split(".")
            config[part][key] = value
        return write_experiment(tmp_path / "exp" / (name or row), gains, config=config)

    return write


def find(paper: PaperTables, name: str) -> PaperRow:
    return next(row for row in paper.rows if row.name == name)


def at_paper_scale(paper: PaperTables) -> PaperTables:
    """The paper's tables, as if it had trained with the patience and tested on the three mixtures of these tests."""
    for row in paper.rows:
        row.config["train"]["patience"] = 2
    return replace(paper, sizes={**paper.sizes, "test mixtures": 3})


def render(paper: PaperTables, *folders: Path) -> str:
    return "\n".join(render_paper(compare(paper, read_experiments([str(folder) for folder in folders])), "results"))


def cells(page: str, row: str) -> list[list[str]]:
    """Lines of all tables that are on a row, without its name."""
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith(f"| `{row}` |")]
    return [line[1:] for line in lines]


def test_a_number_stands_beside_the_papers(paper: PaperTables, train: Train) -> None:
    """Three mixtures at -1/8, 0 and 1/8 dB around -0.5 dB plus the gain; the paper has 9.2 9.6 9.6 9.6 in Table 4."""
    page = render(at_paper_scale(paper), train("freq_simo1_siso2_iter2", (8.0, 10.0, 10.5, 11.0)))
    interval = mean_interval([10.0 - 0.5 + k / 8 for k in (-1, 0, 1)])
    table1, *table4, behind = cells(page, "freq_simo1_siso2_iter2")
    ours = f"9.50 [{interval.low:.2f}, {interval.high:.2f}]"
    assert table1[:9] == ["1 + 2", "2", "2", "detached", "9.6", ours, "-0.10", "1", "0.0 %"]
    assert [line[6] for line in table4] == ["-1.70", "-0.10", "+0.40", "+0.90"]
    assert [line[8] for line in table4] == ["–", "0.0 %", "0.0 %", "0.0 %"]
    macs = [float(line[10]) for line in table4]
    assert macs == pytest.approx([k * macs[0] for k in (1, 2, 3, 4)], abs=0.02) and table4[0][9] == "1,367,367"
    assert behind[2:4] == ["5 of 100, best 3", "–"] and re.fullmatch("`[0-9a-f]{12}`", behind[4])
    assert behind[5].startswith("`./run.sh --stage 2 --config conf/freq.yaml,conf/rows/simo1_siso2_iter2.yaml")
    assert behind[5].endswith("--iterations 4`")
    assert "## The paper's tables\n" in page and "another scale" not in page


def test_every_number_of_the_paper_is_there_and_has_a_command(paper: PaperTables, train: Train) -> None:
    page = render(at_paper_scale(paper), train("time_simo3_siso0", (9.0,)))
    assert page.count("| not run |") == 59 + 26
    for row in paper.rows:
        *numbers, behind = cells(page, row.name)
        assert sorted(line[4] for line in numbers) == sorted(
            f"{value:.1f}" for values in row.numbers.values() for value in values.values()
        )
        if row.name != "time_simo3_siso0":
            assert behind[1:] == ["not run", "–", "–", "–", f"`./tables.sh --row {row.name}`"]
        assert behind[0] == ", ".join(f"`{path}`" for path in row.configs)


def test_an_iteration_that_was_not_separated_is_not_run(paper: PaperTables, train: Train) -> None:
    page = render(at_paper_scale(paper), train("freq_simo1_siso2_iter3", (1.0, 2.0)))
    assert [line[5].split()[0] for line in cells(page, "freq_simo1_siso2_iter3")[1:5]] == ["0.50", "1.50", "not", "not"]


def test_seeds_are_averaged_and_their_spread_is_told(paper: PaperTables, train: Train) -> None:
    row, gains = "time_simo1_siso2", (5.0, 6.0, 8.5)
    folders = [train(row, (gain,), {"train.seed": seed}, f"{row}_seed{seed}") for seed, gain in enumerate(gains)]
    line = cells(render(at_paper_scale(paper), *folders), row)[0]
    interval = mean_interval([6.5 - 0.5 + k / 8 for k in (-1, 0, 1)])  # of each mixture's mean over seeds
    assert line[5] == f"6.00 [{interval.low:.2f}, {interval.high:.2f}]"
    assert line[7] == f"3 ({statistics.stdev(gains):.2f})"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data.epoch_size": 500}, "data.epoch_size 500 for 20000"),
        ({"train.epochs": 5, "train.patience": 9}, "train.epochs 5 for 100"),
        ({"train.patience": 90}, "stopped after 5 epochs"),
        ({"optimizer.lr": 0.002}, "optimizer.lr 0.002 for 0.001"),
    ],
)
def test_another_scale_has_tables_of_its_own_and_says_what_is_other(
    paper: PaperTables, train: Train, changes: dict[str, Any], told: str
) -> None:
    folders = [train("freq_simo3_siso0", (3.0,)), train("freq_simo3_siso0", (2.0,), changes, "other")]
    page = render(at_paper_scale(paper), *folders)
    own, other = page.split("## The paper's tables at another scale\n")
    assert cells(own, "freq_simo3_siso0")[0][5].startswith("2.50 [")
    assert cells(other, "freq_simo3_siso0")[0][5].startswith("1.50 [")
    assert told in other.splitlines()[0] and told not in own
    assert own.count("### Table") == 4 and "| not run |" in own
    assert other.count("### Table") == other.count(" at another scale: ") == 1 and "not run" not in other


def test_of_other_scales_that_with_most_rows_comes_first(paper: PaperTables, train: Train) -> None:
    sizes = {"freq_simo3_siso0": 500, "freq_simo1_siso2": 900, "freq_simo2_siso1": 900}
    records = read_experiments([str(train(row, (3.0,), {"data.epoch_size": size})) for row, size in sizes.items()])
    first, second = compare(at_paper_scale(paper), records).scales
    assert first.differences == ("data.epoch_size 900 for 20000",)
    assert second.differences == ("data.epoch_size 500 for 20000",)


def test_rendered_mixtures_are_the_papers_and_not_compared_with_fresh_ones(paper: PaperTables, train: Train) -> None:
    rendered = {"data.mode": "rendered", "data.train": "data/train_2mix"}
    folders = [train("freq_simo3_siso0", (3.0,)), train("freq_simo3_siso0", (2.0,), rendered, "other")]
    own, other = render(at_paper_scale(paper), *folders).split("## The paper's tables with rendered mixtures\n")
    assert "At the paper's scale (`test_2mix`). Training mixtures are drawn anew in every epoch" in own
    assert "At the paper's scale (`test_2mix`). Training mixtures are as the paper's, rendered once." in other
    assert cells(own, "freq_simo3_siso0")[0][5].startswith("2.50 [")
    assert cells(other, "freq_simo3_siso0")[0][5].startswith("1.50 [")


def test_a_yaml_that_makes_the_scale_is_in_the_headings(paper: PaperTables, train: Train) -> None:
    folder = train("freq_simo3_siso0", (3.0,), {"train.epochs": 5})
    files = ("conf/freq.yaml", "conf/rows/simo3_siso0.yaml", "conf/scale/five.yaml", "conf/seed/seed1.yaml")
    command = " ".join(["train.py", *(f"--config={file}" for file in files)])
    (folder / "run.json").write_text(json.dumps({"command": command, "precision": "bf16"}))
    page = render(at_paper_scale(paper), folder)
    assert "## The paper's tables with conf/scale/five.yaml\n" in page and "another scale" not in page
    assert cells(page, "freq_simo3_siso0")[-1][3] == "bf16"


@pytest.mark.parametrize("setting", ["train.seed", "train.threads", "train.workers"])
def test_the_machine_and_the_seed_are_no_scale(paper: PaperTables, train: Train, setting: str) -> None:
    assert "another scale" not in render(at_paper_scale(paper), train("freq_simo3_siso0", (3.0,), {setting: 3}))


def test_data_are_counted_where_they_are(paper: PaperTables, train: Train, tmp_path: Path) -> None:
    folder = train("freq_simo3_siso0", (3.0,))
    for name, count in (("train", 251), ("dev_2mix", 5000)):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "wav.scp").write_text("".join(f"u{k:05} u{k}.wav\n" for k in range(count)))
    page = render(at_paper_scale(paper), folder)
    assert "**Not the paper's scale:** 251 training utterances for 28539 (`test_2mix`)." in page
    assert "**Not the paper's scale:** 3 test mixtures for 3000, stopped" not in page


def test_data_that_the_training_counted_are_told_whatever_lies_there_now(
    paper: PaperTables, train: Train, tmp_path: Path
) -> None:
    folder = train("freq_simo3_siso0", (3.0,))
    (folder / "run.json").write_text(json.dumps({"sizes": {"training utterances": 251, "validation mixtures": 5000}}))
    (tmp_path / "data/train").mkdir(parents=True)
    (tmp_path / "data/train/wav.scp").write_text("".join(f"u{k:05} u{k}.wav\n" for k in range(7)))
    page = render(at_paper_scale(paper), folder)
    assert "**Not the paper's scale:** 251 training utterances for 28539 (`test_2mix`)." in page


def test_a_training_tells_what_the_report_asks_of_its_data(paper: PaperTables, tmp_path: Path) -> None:
    config = {"mode": "fresh", "train": str(tmp_path / "train"), "dev": str(tmp_path / "dev_2mix")}
    for name, count in (("train", 3), ("dev_2mix", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "wav.scp").write_text("".join(f"u{k} u{k}.wav\n" for k in range(count)))
    sizes = data_sizes({"data": config})
    assert sizes == {"training utterances": 3, "validation mixtures": 2} and sizes.keys() < paper.sizes.keys()


def test_rows_that_were_scored_on_other_mixtures_are_not_compared(
    paper: PaperTables, train: Train, write_experiment: Train, tmp_path: Path
) -> None:
    one, two = train("freq_simo1_siso2", (6.0,)), train("freq_simo1_siso2_iter2", (6.5, 7.25))
    config = yaml.safe_load((two / "config.yaml").read_text())
    apart = write_experiment(tmp_path / "exp/apart", (6.5, 7.25), mixture_db=4.0, config=config)
    assert "| +1.25 |" in render(at_paper_scale(paper), one, two)
    page = render(at_paper_scale(paper), one, apart)
    assert "+1.25" not in page and page.count("At the paper's scale (`test_2mix`).") == 2


def test_of_two_runs_with_one_seed_one_is_counted(paper: PaperTables, train: Train) -> None:
    row = "freq_simo1_siso2"
    folders = [train(row, (gain,), {}, name) for name, gain in (("b", 8.0), ("a", 6.0))]
    line = cells(render(at_paper_scale(paper), *folders), row)[0]
    assert line[5].startswith("5.50 [") and line[7] == "1"


def test_runs_without_a_mixture_in_common_have_no_mean(paper: PaperTables, train: Train) -> None:
    row = "freq_simo1_siso2"
    folders = [train(row, (6.0,), {"train.seed": seed}, str(seed)) for seed in (0, 1)]
    path = folders[1] / "test_2mix/scores.csv"
    path.write_text(re.sub("^m", "other", path.read_text(), flags=re.MULTILINE))
    assert cells(render(at_paper_scale(paper), *folders), row)[0][5] == "not run"


def test_the_command_is_that_of_the_training(paper: PaperTables, train: Train) -> None:
    """With what the training was given, and for the rows not run, with what makes the scale."""
    folder = train("freq_simo3_siso0", (3.0,), {"train.epochs": 5, "train.seed": 1})
    given = ["conf/freq.yaml", "conf/rows/simo3_siso0.yaml", "conf/scale/few.yaml", "conf/seed/seed1.yaml"]
    command = f"train.py --config {given[0]} " + " ".join(f"--config={path}" for path in given[1:])
    (folder / "run.json").write_text(json.dumps({"command": command}))
    page = render(at_paper_scale(paper), folder)
    assert cells(page, "freq_simo3_siso0")[-1][-1] == f"`./run.sh --stage 2 --config {','.join(given)} --iterations 1`"
    other = cells(page, "freq_simo3_siso6")[-1]
    assert other[-1] == "`./tables.sh --row freq_simo3_siso6 --scale conf/scale/few.yaml`"


def test_all_that_makes_a_scale_is_named_and_options_are_in_the_command(paper: PaperTables, train: Train) -> None:
    """Two yaml files over a row, and options, which run.sh has none of: then the training's own command is told."""
    folder = train("freq_simo3_siso0", (3.0,), {"train.epochs": 5})
    files = ["conf/freq.yaml", "conf/rows/simo3_siso0.yaml", "conf/scale/few.yaml", "conf/warm.yaml"]
    command = f"../../utils/train.py --config={' --config='.join(files)} --out exp/freq_simo3_siso0"
    (folder / "run.json").write_text(json.dumps({"command": command}))
    page = render(at_paper_scale(paper), folder)
    assert "## The paper's tables with conf/scale/few.yaml, conf/warm.yaml\n" in page
    assert cells(page, "freq_simo3_siso0")[-1][-1] == f"`./run.sh --stage 2 --config {','.join(files)} --iterations 1`"
    assert cells(page, "freq_simo3_siso6")[-1][-1] == "–"

    command += " --optimizer.lr 0.0005"
    (folder / "run.json").write_text(json.dumps({"command": command}))
    page = render(at_paper_scale(paper), folder)
    assert "## The paper's tables with conf/scale/few.yaml, conf/warm.yaml, --optimizer.lr=0.0005\n" in page
    line = cells(page, "freq_simo3_siso0")[-1]
    assert line[0].endswith(", `conf/warm.yaml`, `--optimizer.lr=0.0005`") and line[-1] == f"`{command}`"
    assert cells(page, "freq_simo3_siso6")[-1][-1] == "–"


def test_settings_newer_than_the_training_are_no_difference(paper: PaperTables, train: Train) -> None:
    folder = train("freq_simo3_siso0", (3.0,))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    del config["data"]["segment_s"]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert "another scale" not in render(at_paper_scale(paper), folder)


def test_an_experiment_that_is_no_row_is_in_no_table(paper: PaperTables, train: Train) -> None:
    folder = train("freq_simo3_siso0", (3.0,), {"model.iterations": 7})
    page = render(at_paper_scale(paper), folder)
    assert "No row has been run." in page and page.count("| not run |") == 60 + 27


def test_rows_are_told_by_what_they_are_not_by_name(paper: PaperTables, train: Train) -> None:
    page = render(at_paper_scale(paper), train("time_simo2_siso4", (3.0,), name="mine"))
    assert cells(page, "time_simo2_siso4")[1][1] == "`mine`"


def test_the_page_holds_the_tables_before_all_else(paper: PaperTables, train: Train) -> None:
    records = read_experiments([str(train("time_simo2_siso4", (3.0,)))])
    tables = [render_paper(compare(paper, records), "results") for _ in range(2)]
    pages = [render_results(records, "results", "report.py", first) for first in tables]
    assert pages[0] == pages[1] and pages[0].index("### Table 1") < pages[0].index("## test_2mix")
    assert "### Table 1" not in render_results(records, "results", "report.py")


@pytest.mark.parametrize("text", ["", "tables: 3", "[", "tables: {1: {time: {a: {one: 3.0}}}}"])
def test_a_broken_table_of_rows_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.yaml").write_text(text)
    with pytest.raises(UserError, match="rows.yaml: is not a table of rows"):
        read_paper(tmp_path / "rows.yaml")
    with pytest.raises(UserError, match="nothing.yaml: no such file"):
        read_paper(tmp_path / "nothing.yaml")
