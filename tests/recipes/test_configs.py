"""Every yaml file of every recipe: it builds, and what it builds can be trained."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import yaml
from paper.rows import read_paper

from itersep.models.blocks.dprnn import DPRNNSpec
from itersep.models.filterbank import FilterbankSpec
from itersep.simulate.mixture import SimulationSpec
from itersep.train.config import build_experiment, config_parser

ROOT = Path(__file__).resolve().parents[2]
PAPER = ROOT / "egs/librispeech_nonspeech"
ROWS = read_paper(PAPER / "local/rows.yaml").rows


def list_stacks() -> list[list[Path]]:
    """Every experiment of every recipe, every overlay over the first of these, and every row of the paper."""
    stacks = [[PAPER / config for config in row.configs] for row in ROWS]
    for conf in sorted(ROOT.glob("egs/*/conf")):
        files = [path for path in sorted(conf.rglob("*.yaml")) if path.name != "simulate.yaml"]
        whole = [
            path for path in files if "kind" in yaml.safe_load(path.read_text()).get("model", {}).get("filterbank", {})
        ]
        stacks += [[path] for path in whole] + [[whole[0], path] for path in files if path not in whole]
    return stacks


STACKS = {"+".join(path.relative_to(ROOT / "egs").as_posix() for path in stack): stack for stack in list_stacks()}


@pytest.mark.parametrize("name", STACKS)
def test_every_experiment_can_be_trained(name: str) -> None:
    """All losses are finite, as many as asked for, and reach every parameter of the network."""
    parser = config_parser()
    experiment = build_experiment(parser, parser.parse_args([f"--config={path}" for path in STACKS[name]]))
    model = experiment.model
    ref = 0.1 * torch.randn(1, model.sources, 800)
    losses = [loss for loss, _ in experiment.objective.terms(model, ref.sum(1), ref)]
    assert len(losses) == model.iterations + experiment.objective.oracle_bias
    sum(losses).backward()
    for parameter in model.parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all()
    assert torch.stack(losses).isfinite().all()


@pytest.mark.parametrize("path", sorted(ROOT.glob("egs/*/conf/simulate.yaml")), ids=lambda path: path.parts[-3])
def test_simulation_fits_its_specification(path: Path) -> None:
    spec = SimulationSpec(**yaml.safe_load(path.read_text()))
    if path.parent.parent == PAPER:
        assert spec == SimulationSpec()


def test_sixty_numbers_come_from_27_trainings() -> None:
    numbers = [(row.name, table, i) for row in ROWS for table, values in row.numbers.items() for i in values]
    assert (len(ROWS), len(numbers), len(set(numbers))) == (27, 60, 60)
    overlays = {path.stem for path in (PAPER / "conf/rows").glob("*.yaml")}
    assert overlays == {row.overlay for row in ROWS}
    for one in ROWS:
        assert one.config["data"]["epoch_size"] == 20000
        assert [row for row in ROWS if row.scale_of(one.config) is not None] == [one]  # no two are the same training


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_is_what_its_name_says(row) -> None:
    domain, simo, siso, iterations, option = re.fullmatch(
        r"(time|freq)_simo(\d)_siso(\d)(?:_iter(\d))?(?:_(\w+))?", row.name
    ).groups()
    model, objective = row.config["model"], row.config["objective"]
    kind, *sizes = ("learned", 128, 32, 16) if domain == "time" else ("stft", 257, 512, 256)
    assert model["filterbank"] == asdict(FilterbankSpec(kind, *sizes, features="magnitude"))
    assert model["separator"] == {"simo_blocks": int(simo), "siso_blocks": int(siso)}
    chunk = 100 if domain == "time" else 24
    assert model["dprnn"] == asdict(DPRNNSpec(64, 128, chunk, overlap=True, recompute=False))
    assert (model["block"], model["mask"], model["feedback"]) == ("dprnn", "real", "estimates")
    assert model["iterations"] == int(iterations or 1)
    assert (objective["order"], row.config["train"]["draw_iterations"]) == ("own", False)
    assert [not model["detach"], not model["share_simo"], objective["layerwise"], objective["oracle_bias"]] == [
        option == name for name in ("nodetach", "ownsimo", "layerwise", "oracle")
    ]


def test_the_numbers_are_the_papers(shared: Path) -> None:
    """Against the tables in the text of the paper: all numbers of each, in dB, in any order."""
    text = (shared / "paper.txt").read_text()
    for table in (1, 2, 3, 4):
        lines = re.split(rf"\nTable {table}: .*\n", text)[1].lstrip("\n").splitlines()
        cells = [line.split() for line in lines[: next(i for i, line in enumerate(lines) if len(line) > 90)]]
        printed = sorted(float(cell) for line in cells for cell in line if re.fullmatch(r"\d+\.\d", cell))
        ours = sorted(value for row in ROWS for value in row.numbers.get(table, {}).values())
        assert ours == printed and printed


def test_tables_agree_where_they_report_the_same_training() -> None:
    for row in ROWS:
        if {1, 4} <= row.numbers.keys():
            assert all(row.numbers[4][iterations] == value for iterations, value in row.numbers[1].items())
