#!/usr/bin/env python3
"""Stage 4: estimates of exp/<name>/<set> and references of data/<set> -> scores.csv and summary.json there."""

import json
from pathlib import Path

from jsonargparse.typing import PositiveInt

from itersep.cli import command_line, run_program
from itersep.files import write_text
from itersep.report.bins import summarize_bins
from itersep.report.stopping import summarize_stopping
from itersep.report.summary import describe, name_files, read_summary, summarize
from itersep.score import find_jobs, score_all, up_to_date, write_scores
from itersep.separate import read_separation
from itersep.simulate.manifest import read_mixtures


def main(data: str, separated: str, nj: PositiveInt = 1) -> None:
    """Score estimates and the unprocessed mixtures: SI-SDR, SI-SDRi and SDR of every mixture, speaker and iteration.

    Args:
        data: data directory with the references spk1.scp, spk2.scp, ...
        separated: folder of estimates, made by utils/separate.py from that data; the scores go there
        nj: mixtures scored at a time
    """
    folder = Path(separated)
    jobs = find_jobs(data, folder)
    if up_to_date(jobs, folder):
        summary, note = read_summary(folder / "summary.json"), " (done before)"
    else:
        scores = score_all(jobs, nj)
        write_scores(folder / "scores.csv", scores)
        origin = {"data": data, "model_sha256": read_separation(folder).model_sha256}
        summary, note = origin | summarize(scores) | {"command": command_line()}, ""
        summary["stopping"] = summarize_stopping(scores)
        manifest = Path(data) / "mixtures.jsonl"
        if manifest.exists():
            summary["bins"] = summarize_bins(scores, read_mixtures(manifest))
        summary["listen"] = name_files(summary["listen"], jobs)
        write_text(folder / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")
    print(f"{folder / 'summary.json'}: {summary['mixtures']} mixtures{note}\n{describe(summary)}")


if __name__ == "__main__":
    run_program(main)
