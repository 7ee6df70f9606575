"""The recipe of LibriMix: two and three speakers, with noise and without, from lists and corpora to scores."""

import csv
import shutil
import subprocess
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
import yaml

from itersep.data.datadir import read_table
from itersep.score.summary import read_summary

PARTS = ("train-clean-5", "dev-clean-2", "test-other")
TINY = {
    "model": {"separator": {"siso_blocks": 0}, "dprnn": {"features": 4, "hidden": 4}},
    "data": {"segment_s": 0.3},
    "train": {"epochs": 1, "batch_size": 2, "workers": 0, "device": "cpu"},
}


class Corpus(NamedTuple):
    librispeech: Path
    wham: Path
    lists: Path


@pytest.fixture
def corpus(tmp_path, rng) -> Corpus:
    """Three speakers with 0.4 s in each part, one stereo noise and one mono, and lists of two and three of them."""
    corpus = Corpus(tmp_path / "Libri Speech", tmp_path / "wham", tmp_path / "the lists")
    corpus.lists.mkdir()
    for name, shape in (("a_1.2_b_-1.2.wav", (20000, 2)), ("c.wav", (9000,))):
        (corpus.wham / "tr").mkdir(parents=True, exist_ok=True)
        soundfile.write(corpus.wham / "tr" / name, rng.integers(-5000, 5000, shape, dtype=np.int16), 16000)
    for part in PARTS:
        files = []
        for speaker in (11, 12, 13):
            path = corpus.librispeech / part / str(speaker) / "5" / f"{speaker}-5-0001.flac"
            path.parent.mkdir(parents=True)
            soundfile.write(path, rng.integers(-9000, 9000, 6400 + speaker, dtype=np.int16), 16000)
            files.append(path.relative_to(corpus.librispeech))
        for speakers in (2, 3):
            write_list(corpus.lists / f"libri{speakers}mix_{part}.csv", [*permutations(files, speakers)][:3])
    return corpus


def write_list(path: Path, groups: list[tuple[Path, ...]]) -> None:
    columns = [f"source_{c}_{value}" for c in range(1, len(groups[0]) + 1) for value in ("path", "gain")]
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["mixture_ID", *columns, "noise_path", "noise_gain"])
        for group, noise in zip(groups, ("a_1.2_b_-1.2", "c", "c"), strict=True):
            sources = [cell for path in group for cell in (path.as_posix(), 0.6)]
            writer.writerow(["_".join(path.stem for path in group), *sources, f"tr/{noise}.wav", 0.4])


@pytest.fixture
def recipe(copy_recipe) -> Path:
    """The recipe in a clone of the repository."""
    recipe = copy_recipe("libri2mix")
    (recipe / "conf/tiny.yaml").write_text(yaml.safe_dump(TINY))
    return recipe


@pytest.fixture
def run_recipe(recipe, corpus, shell) -> Callable[..., subprocess.CompletedProcess]:
    """Runs it, from another folder."""
    where = ["--librispeech", corpus.librispeech, "--lists", corpus.lists, "--parts", ",".join(PARTS), "--nj", 1]
    return lambda *options: shell(recipe / "run.sh", *where, *options, folder=recipe.parent)


def test_three_speakers_in_noise_pass_every_stage(run_recipe, recipe, corpus):
    options = ["--speakers", 3, "--wham", corpus.wham, "--mode", "max", "--iterations", 1]
    done = run_recipe(*options, "--config", "conf/freq.yaml,conf/tiny.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": ok, ") == 9
    name = "3mix_8k_max_noise"
    summary = read_summary(recipe / f"exp/freq_tiny_{name}/test_{name}/summary.json")
    assert (summary["mixtures"], summary["speakers"]) == (3, 3) and not summary.get("bins")
    assert name in (recipe / "RESULTS.md").read_text()
    noises = read_table(recipe / "data/noise_3mix/train/wav.scp")
    assert noises["c"] == str(corpus.wham / "tr/c.wav")  # mono: where it is
    stereo, _ = soundfile.read(corpus.wham / "tr/a_1.2_b_-1.2.wav", dtype="int16")
    first, rate = soundfile.read(recipe / noises["a_1.2_b_-1.2"], dtype="int16")
    assert rate == 16000
    np.testing.assert_array_equal(first, stereo[:, 0])
    mixture = "11-5-0001_12-5-0001_13-5-0001"
    tables = [read_table(recipe / f"data/test_{name}/{part}.scp") for part in ("wav", "spk1", "spk2", "spk3", "noise1")]
    mix, *parts = (soundfile.read(recipe / table[mixture], dtype="int16")[0].astype(int) for table in tables)
    np.testing.assert_array_equal(mix, sum(parts))
    assert len(mix) == -(-(6400 + 13) // 2)  # the longest, at half the rate


def test_variants_stand_side_by_side_and_missing_speech_is_left_out_if_asked(run_recipe, recipe, corpus):
    shutil.rmtree(corpus.librispeech / "test-other/13")
    stages = ["--stop-stage", 1, "--rate", "16k"]
    stopped = run_recipe(*stages)
    assert stopped.returncode == 2 and stopped.stderr.count("\n") == 1
    assert "1 of 3 mixtures need missing files (1: test-other/13/5/13-5-0001.flac)" in stopped.stderr
    for mode in ("min", "max"):
        done = run_recipe(*stages, "--mode", mode, "--allow-missing", "true")
        assert done.returncode == 0, done.stderr
        table = read_table(recipe / f"data/test_2mix_16k_{mode}/wav.scp")
        assert list(table) == ["11-5-0001_12-5-0001", "12-5-0001_11-5-0001"]
        assert {soundfile.info(recipe / path).frames for path in table.values()} == {6411 if mode == "min" else 6412}


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--speakers", "4", "--speakers is 2 or 3, not '4'"),
        ("--rate", "44k", "--rate is 8k or 16k, not '44k'"),
        ("--mode", "mean", "--mode is min or max, not 'mean'"),
        ("--parts", "a,b", "--parts needs three names with commas between, not 'a,b'"),
    ],
)
def test_wrong_options_end_in_one_sentence(run_recipe, option, value, said):
    done = run_recipe(option, value)
    assert (done.returncode, done.stdout) == (2, "") and said in done.stderr and done.stderr.count("\n") == 1
