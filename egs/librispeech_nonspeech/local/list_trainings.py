#!/usr/bin/env python3
"""The trainings behind the paper's tables, for tables.sh: which they are, and what is left to do of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jsonargparse.typing import NonNegativeInt, PositiveInt
from paper.rows import ROWS, PaperRow, compare_configs, read_paper, resolve_configs

from itersep.report.experiment import leave_out_outdated, read_experiment
from itersep.system.cli import run_program
from itersep.system.errors import UserError
from itersep.system.parallel import take_part
from itersep.train.config import complete_config

TEST_SET = "test_2mix"


@dataclass(frozen=True)
class Training:
    """A row of the paper, at a scale and with a seed."""

    row: PaperRow
    configs: Sequence[str]

    @property
    def name(self) -> str:
        """That of the experiment, as run.sh makes it of the yaml files."""
        return "_".join(Path(config).stem for config in self.configs)

    def state(self) -> str:
        """not run, started, trained, or done: separated as often as the tables need, and scored."""
        folder = Path("exp") / self.name
        if not (folder / "config.yaml").exists():
            return "not run"
        try:
            record = leave_out_outdated(read_experiment(folder))
        except UserError:  # scores of another training than the last
            return "started"
        config = complete_config(record.config, folder / "config.yaml")
        if compare_configs(config, resolve_configs(self.configs)) or not record.finished:
            return "started"
        scored = [one for one in record.sets if one.name == TEST_SET and one.row(self.row.iterations)]
        return "done" if scored else "trained"


def main(
    table: NonNegativeInt = 0,
    row: str = "",
    scale: str = "paper",
    seeds: PositiveInt = 1,
    part: str = "",
    show: bool = False,
) -> None:
    """Print a line for each training: its state, yaml files and inference iterations, with tabs between.

    Args:
        table: those of this table of the paper; 0: of all
        row: this one alone, such as freq_simo1_siso2_iter2
        scale: a yaml file laid over each row, or the name of one in conf/scale; paper: none
        seeds: that many of each row, with seeds 0, 1, ...
        part: I/N, one of N shares of these
        show: a table for people instead
    """
    paper = read_paper(ROWS)
    tables = sorted({number for one in paper.rows for number in one.numbers})
    if table and table not in tables:
        raise UserError(
            f"the paper has no table {table}; --table is one of {', '.join(map(str, tables))}, or 0 for all"
        )
    found = [one for one in paper.rows if row in ("", one.name) and (not table or table in one.numbers)]
    if not found:
        where = f"table {table}" if table else "any table"
        raise UserError(f"the paper has no row '{row}' in {where}; tables.sh --list names all")
    trainings = take_part([training for one in found for training in list_trainings(one, scale, seeds)], part)
    print("\n".join(describe(trainings) if show else map(line_for_shell, trainings)))


def list_trainings(row: PaperRow, scale: str, seeds: int) -> Iterator[Training]:
    """A row at a scale with each of the seeds. Raises UserError where there is no such yaml file."""
    for seed in range(seeds):
        overlays = [] if scale == "paper" else [scale if scale.endswith(".yaml") else f"conf/scale/{scale}.yaml"]
        overlays += [f"conf/seed/seed{seed}.yaml"] if seed else []
        for path in overlays:
            if not Path(path).exists():
                raise UserError(f"{path}: no such file; --scale and --seeds take what is in conf/scale and conf/seed")
        yield Training(row, [*row.configs, *overlays])


def line_for_shell(training: Training) -> str:
    """State, configs and iterations of a training."""
    return f"{training.state()}\t{','.join(training.configs)}\t{training.row.iterations}"


def describe(trainings: Sequence[Training]) -> Iterator[str]:
    """Lines of a table: in which tables, experiment, state, the paper's SI-SDR by iterations, yaml files."""
    names = max((len(training.name) for training in trainings), default=0)
    yield f"{'tables':6}  {'experiment':{names}}  {'state':7}  {'the paper, dB after iterations':33}  configs"
    for training in trainings:
        row = training.row
        said = ", ".join(f"{i}: {db:.1f}" for i, db in sorted(row.values.items()))
        tables = ", ".join(map(str, row.numbers))
        yield f"{tables:6}  {training.name:{names}}  {training.state():7}  {said:33}  {','.join(training.configs)}"


if __name__ == "__main__":
    run_program(main)
