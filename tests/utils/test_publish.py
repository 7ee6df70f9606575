"""utils/publish.py: what a published experiment says of itself, and what is refused."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard

from itersep.report.card import render_card
from itersep.report.experiment import ExperimentRecord
from itersep.score.scores import Score, read_scores
from itersep.share.hub import PretrainedModel, load_pretrained
from itersep.train.checkpoint import load_model, save_checkpoint
from itersep.train.config import Experiment
from tests.runs import Ended

TRAINED_ON = "Eight speakers of a game's dialogue (GPL-2)."


@pytest.fixture
def run_experiment(
    experiment: Callable[..., Experiment], program: Callable[..., Ended], mixture_dir: Path, tmp_path: Path
) -> Path:
    """An experiment as training (but for time spent), separation and scoring leave it."""
    built, folder = experiment(), tmp_path / "exp" / "tiny"
    save_checkpoint(folder / "best.pt", {"config": built.config, "model": built.model.state_dict()})
    (folder / "config.yaml").write_text(yaml.safe_dump(built.config))
    run = {
        "command": "train.py --out exp/tiny",
        "commit": "c0ffee",
        "parameters": 4321,
        "torch": "2.0",
        "device": "cpu",
    }
    (folder / "run.json").write_text(json.dumps(run))
    history = [{"epoch": n, "valid_loss": abs(n - 2) - 3.0, "seconds": 60.0} for n in (1, 2, 3)]
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in history))
    out = folder / "test_2mix"
    assert program("separate.py", "--model", folder, "--data", mixture_dir, "--out", out).status == 0
    assert program("score.py", "--data", mixture_dir, "--separated", out).status == 0
    return folder


@pytest.fixture
def publish(program: Callable[..., Ended]) -> Callable[..., Ended]:
    return lambda *options: program("publish.py", *options, "--trained-on", TRAINED_ON)


def mean(scores: list[Score], iteration: int, metric: str) -> float:
    values = [score.get(metric) for score in scores if score.iteration == iteration]
    return sum(values) / len(values)


def test_a_published_experiment_is_its_best_model_and_a_card_of_its_run(
    run_experiment: Path, publish: Callable
) -> None:
    ended = publish(run_experiment, "--license", "mit")
    assert ended.status == 0, ended.err
    assert "published/model.safetensors: " in ended.out
    model, config = load_pretrained(run_experiment / "published")
    best, expected = load_model(run_experiment)
    mix = torch.randn(1, 700)
    assert torch.equal(model(mix), best(mix)) and config == expected
    card = (run_experiment / "published" / "README.md").read_text()
    for fact in (TRAINED_ON, "| commit | c0ffee |", "3, the best 2", "3 min 00 s", "4,321 parameters", "8000 Hz",
                 "train.py --out exp/tiny", "separate.py --model", "score.py --data", "The weights: mit"):  # fmt: skip
        assert fact in card, fact
    scores = read_scores(run_experiment / "test_2mix" / "scores.csv")
    for iteration in (0, 1, 2):
        (row,) = re.findall(rf"^\| {iteration} .*", card, re.MULTILINE)
        cells = [cell.split()[0] for cell in row.strip("|").split("|")[1:]]
        expected = [mean(scores, iteration, metric) for metric in ("si_sdr_db", "si_sdri_db", "sdr_db")]
        found = [math.nan if cell == "–" else float(cell) for cell in cells]
        assert found == pytest.approx(expected, abs=0.0051, nan_ok=True)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"mode": "fresh", "noise": "data/noise", "segment_s": 1.0}, "noise 10 to 20 dB below the voices, 4 s long."),
        ({"mode": "fresh", "noise": None, "segment_s": 1.0}, "T60 of 0.1 to 0.5 s, no noise, 4 s long."),
        ({"mode": "rendered", "noise": None, "segment_s": 1.5}, "Pieces of 1.5 s of mixtures that were the same"),
    ],
)
def test_the_card_says_of_the_mixtures_what_was_configured(settings: dict[str, Any], told: str) -> None:
    drawn = {"t60_s": [0.1, 0.5], "noise_snr_db": [10.0, 20.0], "length_s": 4.0}
    network = {"sample_rate": 8000, "sources": 2, "iterations": 2, "filterbank": {"kind": "stft"}}
    config = {"model": {**network, "separator": {"simo_blocks": 1, "siso_blocks": 2}}}
    config["data"] = {**settings, "simulation": drawn}
    record = ExperimentRecord("tiny", Path("exp/tiny"), {}, config, "0f", [], [])
    card = render_card(record, [], trained_on=TRAINED_ON, license_id="cc0-1.0", where="there")
    assert told in card and ("T60" in card) == (settings["mode"] == "fresh")


def test_the_hub_reads_the_cards_metadata(run_experiment: Path, publish: Callable) -> None:
    publish(run_experiment, "--license", "cc-by-4.0")
    data = ModelCard.load(run_experiment / "published" / "README.md").data
    assert (data.library_name, data.license, data.pipeline_tag) == ("itersep", "cc-by-4.0", "audio-to-audio")


def test_scores_of_other_weights_are_refused(run_experiment: Path, publish: Callable) -> None:
    built = load_model(run_experiment)
    with torch.no_grad():
        built[0].head.linear.bias += 1e-3
    save_checkpoint(run_experiment / "best.pt", {"config": built[1], "model": built[0].state_dict()})
    ended = publish(run_experiment)
    assert ended.status == 2 and "test_2mix: the scores are not of best.pt" in ended.err
    assert not (run_experiment / "published").exists()
    assert publish(run_experiment, "--without-scores").status == 0
    card = (run_experiment / "published" / "README.md").read_text()
    assert "None were published" in card and "SI-SDR |" not in card


def test_an_experiment_without_scores_is_published_only_if_told(run_experiment: Path, publish: Callable) -> None:
    (run_experiment / "test_2mix" / "summary.json").unlink()
    ended = publish(run_experiment)
    assert ended.status == 2 and "no scores in there" in ended.err and ended.err.count("\n") == 1
    assert not (run_experiment / "published").exists()
    assert publish(run_experiment, "--without-scores", "--out", run_experiment / "there").status == 0
    assert load_pretrained(run_experiment / "there")[1] == load_model(run_experiment)[1]


def test_a_run_that_recorded_little_is_published_with_what_there_is(run_experiment: Path, publish: Callable) -> None:
    for name in ("run.json", "history.jsonl"):
        (run_experiment / name).unlink()
    assert publish(run_experiment).status == 0
    card = (run_experiment / "published" / "README.md").read_text()
    assert "| commit | not recorded |" in card and "No licence of the weights was stated" in card


def test_it_is_pushed_where_asked(run_experiment: Path, publish: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    pushed: list[Any] = []

    def push(self: PretrainedModel, repo_id: str, private: bool) -> str:
        pushed.append((self.card, repo_id, private))
        return "https://hub/commit"

    monkeypatch.setattr(PretrainedModel, "push_to_hub", push)
    assert publish(run_experiment).status == 0 and not pushed
    ended = publish(run_experiment, "--repo-id", "me/tiny", "--private")
    assert ended.status == 0 and "https://hub/commit" in ended.out
    ((card, repo_id, private),) = pushed
    assert (repo_id, private) == ("me/tiny", True) and 'itersep.load("me/tiny")' in card


def test_an_upload_that_is_not_asked_for_is_not_private(run_experiment: Path, publish: Callable) -> None:
    ended = publish(run_experiment, "--private")
    assert ended.status == 2 and "give --repo-id too" in ended.err and not (run_experiment / "published").exists()


def test_it_does_not_guess_what_a_model_was_trained_on(run_experiment: Path, program: Callable[..., Ended]) -> None:
    ended = program("publish.py", run_experiment)
    assert ended.status == 2 and "trained" in ended.err and not (run_experiment / "published").exists()
