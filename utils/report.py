#!/usr/bin/env python3
"""Stage 4: exp/<name>/<set>/summary.json of one or more experiments -> RESULTS.md, figures, pages to listen."""

from pathlib import Path

from itersep.report.experiment import read_experiments
from itersep.report.results import write_results
from itersep.system.cli import command_line, guard, make_parser, parse


def main() -> None:
    """Read experiments, draw their figures, and write the pages."""
    parser = make_parser(
        "Write the results of experiments as a markdown page with tables, figures and commands. The "
        "figures go into the experiments' folders, and for the page into a folder beside it (RESULTS.md: results/). "
        "Each experiment gets a page to look at and listen to in a browser, exp/<name>/report/index.html, and several "
        "get one that compares them, beside the markdown page (RESULTS.html).",
    )
    parser.add_argument("experiments", nargs="+", help="experiment folders, exp/<name>")
    parser.add_argument("--out", default="RESULTS.md", help="the page to write")
    parser.add_argument(
        "--mixture", action="append", default=[], metavar="NAME", help="one more to listen to; may be given repeatedly"
    )
    options = parse(parser)
    records = read_experiments(options.experiments)
    for page in write_results(records, Path(options.out), command_line(), named=options.mixture):
        print(f"{page}: {', '.join(record.name for record in records)} ({page.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    guard(main)
