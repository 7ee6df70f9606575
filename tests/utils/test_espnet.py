"""Data directories as ESPnet's enh recipes write them, and mixtures of three: trained on, separated and scored."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from itersep.data.datadir import read_table
from itersep.score.summary import read_summary
from tests import small

RATE = 8000


def write_espnet(root: Path, name: str, rng: np.random.Generator, speakers: int = 2) -> Path:
    """dump/raw/<name> below ``root``: flac, paths relative to the recipe, and files that are not ours."""
    folder = Path("dump/raw") / name
    parts = ["wav", *(f"{kind}{c}" for kind in ("spk", "dereverb") for c in range(1, speakers + 1)), "noise1"]
    tables: dict[str, list[str]] = {part: [] for part in parts}
    extras: dict[str, list[str]] = {
        "utt2spk": [],
        "spk2utt": [],
        "utt2num_samples": [],
        "utt2category": [],
        "text_spk1": [],
    }
    for index, length in enumerate((4000, 4400, 4000, 4813)):
        utt = f"01a_440{index}_1.2_22g{index}_-1.2"
        signals = {part: 0.1 * rng.standard_normal(length) for part in parts[1:]}
        signals["wav"] = sum(signals[f"spk{c}"] for c in range(1, speakers + 1)) + signals["noise1"]
        for part, samples in signals.items():
            path = folder / "data" / f"format.{part}" / f"{utt}.flac"
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(root / path, np.clip(samples, -0.99, 0.99), RATE)
            tables[part].append(f"{utt} {path}\n")
        extras["utt2spk"].append(f"{utt} 01a_22g{index}\n")
        extras["spk2utt"].append(f"01a_22g{index} {utt}\n")
        extras["utt2num_samples"].append(f"{utt} {length}\n")
        extras["utt2category"].append(f"{utt} {speakers}speaker\n")
        extras["text_spk1"].append(f"{utt} NINE HUNDRED\n")
    for part, lines in tables.items():
        (root / folder / f"{part}.scp").write_text("".join(lines))
    for table, lines in extras.items():
        (root / folder / table).write_text("".join(lines))
    (root / folder / "feats_type").write_text("raw\n")
    return folder


@pytest.fixture
def train_and_score(program: Callable, tmp_path: Path) -> Callable[..., dict]:
    """Trains on a configuration, then separates and scores a data directory; returns summary.json."""

    def run(config: dict, test: Path | str) -> dict:
        (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config | {"train": small.TRAIN}))
        for name, *options in (
            ("train.py", "--config", tmp_path / "tiny.yaml", "--out", "exp"),
            ("separate.py", "--model", "exp", "--data", test, "--out", "exp/test"),
            ("score.py", "--data", test, "--separated", "exp/test"),
        ):
            ended = program(name, *options)
            assert ended.status == 0, ended.err
        return read_summary("exp/test/summary.json")

    return run


@pytest.mark.parametrize("speakers", [2, 3])
def test_espnets_directories_train_and_score_as_they_are(train_and_score, tmp_path, monkeypatch, rng, speakers):
    monkeypatch.chdir(tmp_path)  # where dump/ lies
    folders = {name: write_espnet(tmp_path, name, rng, speakers) for name in ("tr_min_8k", "cv_min_8k", "tt_min_8k")}
    before = {path: path.stat().st_mtime_ns for path in Path("dump").rglob("*")}
    data = {"mode": "rendered", "train": str(folders["tr_min_8k"]), "dev": str(folders["cv_min_8k"]), "segment_s": 0.25}
    summary = train_and_score({"model": small.MODEL | {"sources": speakers}, "data": data}, folders["tt_min_8k"])
    assert (summary["mixtures"], summary["speakers"]) == (4, speakers)
    assert [row["iteration"] for row in summary["iterations"]] == [0, 1, 2]
    assert before == {path: path.stat().st_mtime_ns for path in Path("dump").rglob("*")}


def test_three_speakers_are_drawn_trained_and_scored(
    train_and_score, program, speech_dir, noise_dir, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    simulation = {"length_s": 0.5, "t60_s": [0.1, 0.15]}
    Path("simulate.yaml").write_text(yaml.safe_dump(simulation))
    for name in ("dev_3mix", "test_3mix"):
        options = ["--speech", speech_dir, "--noise", noise_dir, "--spec", "simulate.yaml", "--out", name]
        options += ["--spec.sample_rate", RATE, "--spec.sources", 3, "--count", 3]
        assert program("simulate.py", *options).status == 0
    data = {"train": str(speech_dir), "noise": str(noise_dir), "dev": "dev_3mix", "epoch_size": 4}
    data |= {"simulation": "simulate.yaml"}
    summary = train_and_score({"model": small.MODEL | {"sources": 3}, "data": data}, "test_3mix")
    assert (summary["mixtures"], summary["speakers"]) == (3, 3)
    assert set(summary["bins"]) == {"overlap", "t60", "noise_snr"}
    scores = [line.split(",") for line in Path("exp/test/scores.csv").read_text().splitlines()[1:]]
    for utt in read_table("test_3mix/wav.scp"):  # each speaker has an estimate of its own
        assert sorted(line[3] for line in scores if line[0] == utt and line[2] == "2") == ["1", "2", "3"]
    json.dumps(summary, allow_nan=False)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("flac -cd x.flac |", "commands are not run; write the audio to a file"),
        ("dump/raw/tr/data/format.1/data_wav.ark:1234", "places in archives"),
        ("dump/raw/tr/data/format.1/data_wav.ark", "places in archives"),
    ],
)
def test_what_is_no_file_is_refused_in_a_sentence(program, tmp_path, monkeypatch, rng, value, said):
    monkeypatch.chdir(tmp_path)
    folder = write_espnet(tmp_path, "tr_min_8k", rng)
    table = tmp_path / folder / "spk2.scp"
    first, *rest = table.read_text().splitlines(keepends=True)
    table.write_text(f"{first.split()[0]} {value}\n" + "".join(rest))
    ended = program("train.py", "--out", "exp", "--data.mode=rendered", f"--data.train={folder}", "--data.dev=x",
                    "--model.sample_rate=8000")  # fmt: skip
    assert ended.status == 2 and ended.err.count("\n") == 1
    assert f"{folder}/spk2.scp:1: " in ended.err and said in ended.err
    assert not Path("exp").exists()
