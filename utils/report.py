#!/usr/bin/env python3
"""Stage 4: exp/<name>/<set>/summary.json of one or more experiments -> RESULTS.md, figures, pages to listen."""

from pathlib import Path

from itersep.cli import command_line, guard, make_parser, parse
from itersep.files import write_text
from itersep.report.experiment import read_experiments
from itersep.report.figures import draw_figures
from itersep.report.page import write_pages
from itersep.report.paper import read_paper
from itersep.report.paper_figures import draw_paper_figures
from itersep.report.results import render_results
from itersep.report.scales import compare


def main() -> None:
    """Read experiments, draw their figures, and write the page."""
    parser = make_parser(
        "Write the results of experiments as a markdown page with tables, figures and commands. The "
        "figures go into the experiments' folders, and for the page into a folder beside it (RESULTS.md: results/). "
        "Each experiment gets a page to look at and listen to in a browser, exp/<name>/report/index.html, and several "
        "get one that compares them, beside the markdown page (RESULTS.html).",
    )
    parser.add_argument("experiments", nargs="+", help="experiment folders, exp/<name>")
    parser.add_argument("--out", default="RESULTS.md", help="the page to write")
    parser.add_argument("--tables", type=str | None, help="a paper's rows, such as local/rows.yaml, to compare with")
    parser.add_argument(
        "--mixture", action="append", default=[], metavar="NAME", help="one more to listen to; may be given repeatedly"
    )
    options = parse(parser)
    paper = read_paper(options.tables) if options.tables else None
    records, page = read_experiments(options.experiments), Path(options.out)
    compared = compare(paper, records) if paper else None
    figures = page.stem.lower()
    draw_figures(records, page.with_name(figures))
    if compared:
        draw_paper_figures(compared, page.with_name(figures))
    write_text(page, render_results(records, figures, command_line(), compared))
    print(f"{page}: {', '.join(record.name for record in records)}")
    for listen in write_pages(records, page, options.mixture):
        print(f"{listen}: to listen to, in a browser ({listen.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    guard(main)
