"""Stage 0 of the paper's recipe: which file goes where, under which name, and with which samples."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile

from itersep.data.datadir import read_durations, read_table
from itersep.data.librispeech import HEARD_NOISES, NOISES
from itersep.data.validate import validate_data_dir
from itersep.simulate.mixture import load_clips
from tests.runs import ROOT, Ended

RECIPE = ROOT / "egs/librispeech_nonspeech"
SETS = [f"{kind}{name}" for kind in ("", "noise_") for name in ("train", "dev", "test")]


class Corpus(NamedTuple):
    librispeech: Path
    nonspeech: Path


@pytest.fixture
def corpus(tmp_path, rng) -> Corpus:
    """Two parts of LibriSpeech in its layout, 3 and 4 speakers with 2 utterances each, and 5 noises at 20 kHz."""
    corpus = Corpus(tmp_path / "Libri Speech", tmp_path / "noises")
    for part, speakers in (("train-clean-5", (19, 26, 103)), ("dev-clean-2", (1272, 84, 174, 251))):
        for speaker in speakers:
            chapter = corpus.librispeech / "LibriSpeech" / part / str(speaker) / "100"
            chapter.mkdir(parents=True)
            (chapter / f"{speaker}-100.trans.txt").touch()
            for k in range(2):
                samples = rng.integers(-9000, 9000, 8000 + 1600 * k, dtype=np.int16)
                soundfile.write(chapter / f"{speaker}-100-{k:04d}.flac", samples, 16000)
    (corpus.nonspeech / "Nonspeech").mkdir(parents=True)
    for number in (1, 2, 9, 99, 100):
        samples = rng.integers(-32768, 32768, 10000 + number, dtype=np.int16)
        soundfile.write(corpus.nonspeech / "Nonspeech" / f"n{number}.wav", samples, 20000)
    return corpus


@pytest.fixture
def prepare(corpus, tmp_path, monkeypatch, program) -> Callable[..., Ended]:
    """Runs local/prepare_data.py in a folder of its own."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def run(*options: object, parts: str = "train-clean-5,dev-clean-2,dev-clean-2") -> Ended:
        where = ["--librispeech", corpus.librispeech, "--nonspeech", corpus.nonspeech, "--parts", parts]
        return program(RECIPE / "local/prepare_data.py", *where, "--nj", 1, *options)

    return run


def test_speech_stays_where_it_is_under_its_own_names(prepare, corpus):
    done = prepare()
    assert done.status == 0, done.err
    wav, speakers, durations_s = read_table("data/train/wav.scp"), read_table("data/train/utt2spk"), {}
    assert wav == {path.stem: str(path) for path in corpus.librispeech.glob("LibriSpeech/train-clean-5/*/*/*.flac")}
    for utt, path in wav.items():
        assert speakers[utt] == utt.split("-")[0]
        durations_s[utt] = soundfile.info(path).duration
    assert read_durations("data/train") == durations_s
    assert list(Path("data/train").rglob("*.flac")) == []
    for name in SETS:
        assert validate_data_dir(f"data/{name}", 16000).faults == []


def test_a_part_that_two_sets_name_is_divided_by_speaker(prepare):
    prepare()
    dev, test = (set(read_table(f"data/{name}/spk2utt")) for name in ("dev", "test"))
    assert dev | test == {"1272", "84", "174", "251"} and not dev & test
    assert len(dev) == len(test) == 2


def test_noises_keep_their_samples_and_are_called_16_khz(prepare, corpus):
    prepare()
    for number in (1, 2, 9, 99, 100):
        stored, _ = soundfile.read(corpus.nonspeech / f"Nonspeech/n{number}.wav", dtype="int16")
        samples, rate = soundfile.read(f"data/noise/n{number}.wav", dtype="int16")
        assert rate == 16000
        np.testing.assert_array_equal(samples, stored)


def test_noises_are_resampled_where_that_is_asked_for(prepare, corpus):
    time_s = np.arange(40000) / 20000
    tone = 0.99 * np.sin(2 * np.pi * 1000 * time_s)
    soundfile.write(corpus.nonspeech / "Nonspeech/n1.wav", tone, 20000)
    prepare("--noise_resample", "true")
    samples, rate = soundfile.read("data/noise/n1.wav")
    assert (rate, len(samples)) == (16000, 32000)
    assert np.argmax(np.abs(np.fft.rfft(samples[8000:24000]))) == 1000  # still 1 kHz
    assert read_durations("data/noise_test")["n2"] == pytest.approx(10002 / 20000, abs=1e-4)


def test_train_and_dev_have_the_noises_of_the_published_validation_list(prepare, shared):
    prepare()
    noises = [set(read_table(f"data/noise_{name}/wav.scp")) for name in ("train", "dev", "test")]
    assert noises == [{"n1", "n2", "n100"}] * 2 + [{"n1", "n2", "n9", "n99", "n100"}]
    published = (shared / "data/tac/MC_Libri_fixed_validation.pkl").read_bytes()
    assert [noise for noise in NOISES if f"{noise}.wav".encode() in published] == HEARD_NOISES


def test_files_that_cannot_serve_are_counted_and_named(prepare, corpus):
    chapter = corpus.librispeech / "LibriSpeech/train-clean-5/19/100"
    (chapter / "19-100-0000.flac").write_bytes(b"torn")
    soundfile.write(chapter / "19-100-0002.flac", np.zeros(100), 8000)
    soundfile.write(chapter / "19-100-0003.flac", np.zeros(0), 16000)
    (corpus.nonspeech / "Nonspeech/n2.wav").write_bytes(b"torn")
    done = prepare()
    assert done.status == 0
    assert "Skipped 6 of 27 files: " in done.out  # n2 is in three sets
    assert f"{chapter}/19-100-0000.flac: cannot be read as audio" in done.out
    assert "has 5 of the 100 noises; n10, n11, n12, n13, n14" in done.out
    assert [utt for utt in read_table("data/train/wav.scp") if utt.startswith("19-")] == ["19-100-0001"]
    assert "n2" not in read_table("data/noise_train/wav.scp")


def test_again_nothing_is_touched_and_other_options_are_refused(prepare):
    prepare()
    before = {path: path.stat().st_mtime_ns for path in Path("data").rglob("*")}
    assert prepare().status == 0
    assert before == {path: path.stat().st_mtime_ns for path in Path("data").rglob("*")}
    other = prepare("--noise_resample", "true")
    assert other.status == 2 and "as stored, not from" in other.err and other.err.count("\n") == 1


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ("train-clean-5,dev-clean,test-clean", "Libri Speech: has no dev-clean/<speaker>/<chapter>/*.flac; name the"),
        ("train-clean-5,dev-clean-2", "--parts needs three names"),
        ("train-clean-5,,dev-clean-2", "--parts needs three names"),
    ],
)
def test_parts_that_are_not_there_are_named(prepare, parts, said):
    done = prepare(parts=parts)
    assert done.status == 2 and said in done.err and done.err.count("\n") == 1
    assert not Path("data").exists()


@pytest.fixture
def run_recipe(copy_recipe, shell) -> Callable[..., subprocess.CompletedProcess]:
    """Runs the recipe in a clone of the repository, from another folder."""
    recipe = copy_recipe(RECIPE.name)
    return lambda *options: shell(recipe / "run.sh", *options, folder=recipe.parent)


def test_stage_0_takes_the_real_corpora_as_they_are(run_recipe, clone, shared):
    where = ["--librispeech", shared / "data/LibriSpeech", "--nonspeech", shared / "data/Nonspeech"]
    parts = ["--subset", "train-clean-100,test-other,test-clean"]
    done = run_recipe("--stage", 0, "--stop-stage", 0, *where, *parts)
    assert done.returncode == 0, done.stderr
    rows = {line.split(" | ")[0][2:]: line.split(" | ")[1:3] for line in done.stdout.splitlines() if line[:2] == "| "}
    assert {name: rows[name] for name in SETS} == {
        "train": ["251", "251"],
        "dev": ["10", "100"],
        "test": ["10", "284"],
        "noise_train": ["79", "79"],
        "noise_dev": ["79", "79"],
        "noise_test": ["98", "98"],
    }
    assert "has 98 of the 100 noises; n58, n9 are missing" in done.stdout
    assert done.stdout.count(": ok, ") == 6
    clips = load_clips(clone / "egs" / RECIPE.name / "data/test", 16000)
    assert clips.speakers["1089-134686-0002"] == "1089"
    assert clips.paths["1089-134686-0002"] == str(
        shared.resolve() / "data/LibriSpeech/test-clean/1089/134686/1089-134686-0002.flac"
    )


def test_a_folder_without_the_parts_ends_stage_0_in_a_sentence(run_recipe, tmp_path):
    done = run_recipe("--librispeech", tmp_path, "--nonspeech", tmp_path)
    assert (done.returncode, done.stdout) == (2, "Stage 0: data preparation\n")
    assert f"{tmp_path}: has no train-clean-100/<speaker>" in done.stderr and done.stderr.count("\n") == 1
