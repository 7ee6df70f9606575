#!/usr/bin/env python3
"""Stage 4: RESULTS.md as utils/report.py writes it, begun with the paper's tables beside what was measured."""

from pathlib import Path

from paper.figures import draw_paper_figures
from paper.rows import ROWS, read_paper
from paper.scales import compare
from paper.tables import render_paper

from itersep.report.experiment import read_experiments
from itersep.report.results import figures_folder, write_results
from itersep.system.cli import command_line, guard, make_parser, parse


def main() -> None:
    """Read experiments, find the rows of the paper among them, and write the pages."""
    parser = make_parser(
        "Write the results of experiments beside the paper's tables (local/rows.yaml), and all that utils/report.py "
        "writes of them."
    )
    parser.add_argument("experiments", nargs="+", help="experiment folders, exp/<name>")
    parser.add_argument("--out", default="RESULTS.md", help="the page to write")
    options = parse(parser)
    records, page = read_experiments(options.experiments), Path(options.out)
    compared = compare(read_paper(ROWS), records)
    figures = figures_folder(page)
    draw_paper_figures(compared, figures)
    for written in write_results(records, page, command_line(), render_paper(compared, figures.name)):
        print(f"{written}: {len(records)} experiments ({written.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    guard(main)
