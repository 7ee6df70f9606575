#!/usr/bin/env python3
"""Stage 4: estimates of exp/<name>/<set> and references of data/<set> -> scores.csv and summary.json there."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from jsonargparse.typing import PositiveInt

from itersep.score.bins import summarize_bins
from itersep.score.registry import METRICS, choose_metrics
from itersep.score.scores import Job, find_jobs, has_scores, score_all, scored_files_sha256, write_scores
from itersep.score.stopping import summarize_stopping
from itersep.score.summary import describe, name_files, read_summary, summarize
from itersep.separate.folder import read_separation, read_trained_for
from itersep.simulate.manifest import read_mixtures
from itersep.system.cli import command_line, run_program
from itersep.system.errors import UserError
from itersep.system.files import write_text


def main(data: str, separated: str, nj: PositiveInt = 1, metrics: Sequence[str] = ()) -> None:
    """Score estimates and unprocessed mixtures: SI-SDR, SI-SDRi, SDR, and other metrics of itersep/score/registry.py.

    Args:
        data: data directory with the references spk1.scp, spk2.scp, ...
        separated: folder of estimates, made by utils/separate.py from that data; the scores go there
        nj: mixtures scored at a time
        metrics: those to add, such as [stoi, pesq]: stoi, estoi, pesq, dnsmos_sig, dnsmos_bak, dnsmos_ovrl, sir_db,
            sar_db; each needs a package (pip install 'itersep[metrics]')
    """
    folder = Path(separated)
    asked = [metric.name for metric in choose_metrics(metrics)]
    jobs = find_jobs(data, folder)
    digest = scored_files_sha256(jobs, folder)
    before = find_summary(folder, digest, asked)
    origin = {"data": data, "files_sha256": digest, "model_sha256": read_separation(folder).model_sha256}
    summary = origin | (before or score(jobs, Path(data), folder, nj, metrics))
    summary |= {"data": data, "listen": name_files(summary["listen"], jobs)}  # which may have moved since
    if summary != before:
        write_text(folder / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")
    note = " (done before)" if before else ""
    print(f"{folder / 'summary.json'}: {summary['mixtures']} mixtures{note}\n{describe(summary)}")


def score(jobs: Sequence[Job], data: Path, folder: Path, nj: int, metrics: Sequence[str]) -> dict[str, Any]:
    """Score all mixtures into scores.csv of ``folder``; what summary.json says of the scores."""
    manifest = data / "mixtures.jsonl"
    drawn = read_mixtures(manifest) if manifest.exists() else []
    scores = score_all(jobs, nj, metrics)
    write_scores(folder / "scores.csv", scores)
    summary = summarize(scores, read_trained_for(folder), metrics) | {"command": command_line()}
    summary["stopping"] = summarize_stopping(scores)
    if drawn:
        summary["bins"] = summarize_bins(scores, drawn)
    return summary


def find_summary(folder: Path, files_sha256: str, metrics: Sequence[str]) -> dict[str, Any] | None:
    """The summary in a folder if it is whole, of these files, and has these metrics, or more of those there are."""
    with suppress(UserError):
        summary = read_summary(folder / "summary.json")
        scored = set(summary.get("metrics", ()))
        same = summary.get("files_sha256") == files_sha256 and set(metrics) <= scored <= set(METRICS)
        if same and has_scores(folder / "scores.csv"):
            return summary
    return None


if __name__ == "__main__":
    run_program(main)
