"""docs/study.md says what the records of its trainings say."""

from pathlib import Path

from paper.rows import read_paper
from paper.scales import compare
from paper.tables import render_paper

from itersep.report.experiment import read_experiments

ROOT = Path(__file__).resolve().parents[3]
RECIPE = ROOT / "egs/librispeech_nonspeech"


def answers(page: str) -> list[str]:
    """Lines of tables that have a trend."""
    trends = ("agrees |", "agrees, by one seed |", "can't be told |")  # and disagrees
    return [line for line in page.splitlines() if line.startswith("| `") and line.endswith(trends)]


def test_answers_are_those_of_the_records():
    records = read_experiments([str(path) for path in sorted((RECIPE / "records").iterdir())])
    scales = ("_hour", "_deep", "_short")
    measured = [record for record in records if record.name.split("_seed")[0].endswith(scales)]
    page = "\n".join(render_paper(compare(read_paper(RECIPE / "local/rows.yaml"), measured), "results"))
    told = answers((ROOT / "docs/study.md").read_text())
    assert len(told) >= 4 and told == answers(page)


def test_scores_of_the_best_model_are_those_of_its_records():
    record = read_experiments([str(RECIPE / "records/freq_simo1_siso2_iter2_long")])[0]
    gains = [record.sets[0].row(iteration)["si_sdri_db"]["mean"] for iteration in (1, 2, 3, 4)]
    line = f"| 45000 | {', '.join(f'{gain:.2f}' for gain in gains)} |"
    assert line in (ROOT / "docs/study.md").read_text()
    card = (ROOT / "itersep/pretrained/librispeech/README.md").read_text()
    assert record.name in card and all(f"| {gain:.2f} [" in card for gain in gains)
