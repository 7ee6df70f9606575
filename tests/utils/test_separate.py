"""Separation of a data directory: what is written, and that stopping, changing and repeating leave the same."""

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor, nn

from itersep.data.audio import read_audio, write_audio
from itersep.data.datadir import read_table, write_table
from itersep.separate.folder import (
    Separation,
    files_sha256,
    model_sha256,
    read_gains,
    read_mixtures,
    read_separation,
    separate_set,
    start_folder,
)
from itersep.share.hub import PretrainedModel
from itersep.system.errors import UserError
from itersep.train.checkpoint import load_checkpoint, load_model, save_checkpoint
from tests.runs import contents

RATE = 8000


class Splitter(nn.Module):
    """Stands in for a network: estimate c of iteration i is the mixture times level * i / 10 and -level * i / 20."""

    sources = iterations = 2

    def __init__(self, level: float = 1.0, stop_after: int = 1000) -> None:
        super().__init__()
        self.level, self.stop_after, self.calls = level, stop_after, 0

    def iterate(self, mix: Tensor, iterations: int | None = None) -> Iterator[list[Tensor]]:
        if self.calls == self.stop_after:
            raise KeyboardInterrupt
        self.calls += 1
        for i in range(1, (iterations or self.iterations) + 1):
            last = torch.stack([mix, -mix / 2], dim=1) * self.level * i / 10
            yield [torch.zeros_like(last), last]


def describe(mixture_dir: Path, iterations: int = 3, model: str = "a model") -> Separation:
    digest = files_sha256(read_mixtures(mixture_dir))
    return Separation(model, digest, sources=2, iterations=iterations, sample_rate=RATE, device="cpu")


def run(mixture_dir: Path, out: Path, network: nn.Module, iterations: int = 3, model: str = "a model") -> int:
    return separate_set(network, read_mixtures(mixture_dir), out, describe(mixture_dir, iterations, model))


def test_every_iteration_of_every_mixture_is_written_in_one_pass(mixture_dir: Path, tmp_path: Path) -> None:
    network = Splitter()
    assert run(mixture_dir, tmp_path / "out", network) == network.calls == 5
    for i in (1, 2, 3):
        for c, factor in ((1, 0.1), (2, -0.05)):
            table = read_table(tmp_path / "out" / f"iter{i}" / f"spk{c}.scp")
            assert list(table) == list(read_mixtures(mixture_dir))
            for utt, path in table.items():
                mix = read_audio(read_mixtures(mixture_dir)[utt], RATE)
                assert np.abs(read_audio(path, RATE) - mix * factor * i).max() <= 0.51 / 32768
    assert set(read_table(tmp_path / "out" / "utt2gain").values()) == {"1.0"}


def test_again_it_does_nothing(mixture_dir: Path, tmp_path: Path) -> None:
    run(mixture_dir, tmp_path / "out", Splitter())
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert run(mixture_dir, tmp_path / "out", network := Splitter()) == network.calls == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


@pytest.mark.parametrize("level", [1.0, 50.0])
def test_stopped_and_gone_on_with_leaves_the_same_bytes(mixture_dir: Path, tmp_path: Path, level: float) -> None:
    run(mixture_dir, tmp_path / "whole", Splitter(level))
    with pytest.raises(KeyboardInterrupt):
        run(mixture_dir, tmp_path / "out", Splitter(level, stop_after=3))
    assert not list((tmp_path / "out").glob("iter*/*.scp"))
    with open(tmp_path / "out" / "utt2gain", "a") as journal:
        journal.write("m3 0.")  # a kill in the middle of a line
    assert run(mixture_dir, tmp_path / "out", Splitter(level)) == 2
    whole = contents(tmp_path / "whole")
    moved = {name: text.replace(b"/whole/", b"/out/") for name, text in whole.items() if not name.endswith(".wav")}
    assert contents(tmp_path / "out") == whole | moved


def test_the_number_of_jobs_changes_no_byte(program: Callable, mixture_dir: Path, model: Path, tmp_path: Path) -> None:
    for nj in (1, 3):
        options = ("--model", model, "--data", mixture_dir, "--out", tmp_path / f"out{nj}")
        assert program("separate.py", *options, "--device", "cpu", "--nj", nj).status == 0
    one, three = (contents(tmp_path / f"out{nj}") for nj in (1, 3))
    assert one.keys() == three.keys()
    assert all(one[name] == three[name] for name in one if name.endswith((".wav", "utt2gain")))


def test_parts_side_by_side_and_then_a_run_without_leave_the_same_bytes(mixture_dir: Path, tmp_path: Path) -> None:
    """In a folder that another model left, which the first of them clears, and none after it."""
    run(mixture_dir, tmp_path / "whole", Splitter(50.0))
    run(mixture_dir, tmp_path / "out", Splitter(), model="an older model", iterations=4)
    mixtures, made_by = read_mixtures(mixture_dir), describe(mixture_dir)
    with ThreadPoolExecutor(3) as pool:
        parts = [
            pool.submit(separate_set, Splitter(50.0), mixtures, tmp_path / "out", made_by, part=f"{number}/3")
            for number in (1, 2, 3)
        ]
    assert [part.result() for part in parts] == [2, 2, 1]
    assert not list((tmp_path / "out").glob("iter*/*.scp")) and not (tmp_path / "out" / "utt2gain").exists()
    assert run(mixture_dir, tmp_path / "out", network := Splitter(50.0)) == network.calls == 0
    whole, out = (contents(tmp_path / name) for name in ("whole", "out"))
    assert out == {name: text.replace(b"/whole/", b"/out/") for name, text in whole.items()}


def test_a_folder_that_is_started_anew_has_no_notes_of_the_old(mixture_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in (".utt2gain", ".utt2gain_1-2"):
        (out / name).write_text("m1 0.5\n")
    start_folder(out, describe(mixture_dir))
    assert [path.name for path in out.iterdir()] == ["separation.json"]


def test_a_part_that_was_stopped_goes_on(mixture_dir: Path, tmp_path: Path) -> None:
    mixtures, made_by = read_mixtures(mixture_dir), describe(mixture_dir)
    with pytest.raises(KeyboardInterrupt):
        separate_set(Splitter(stop_after=1), mixtures, tmp_path / "out", made_by, part="1/2")
    with open(tmp_path / "out" / ".utt2gain_1-2", "a") as journal:
        journal.write("m2 0.")  # a kill in the middle of a line
    assert separate_set(Splitter(), mixtures, tmp_path / "out", made_by, part="1/2") == 2
    assert read_gains(tmp_path / "out") == {"m0": 1.0, "m2": 1.0, "m4": 1.0}
    assert run(mixture_dir, tmp_path / "out", Splitter()) == 2  # those of part 2
    assert [path.name for path in (tmp_path / "out").glob(".*")] == []


def test_a_lost_file_is_made_again(mixture_dir: Path, tmp_path: Path) -> None:
    run(mixture_dir, tmp_path / "out", Splitter())
    whole = contents(tmp_path / "out")
    (tmp_path / "out" / "iter2" / "spk1" / "m4.wav").unlink()
    assert run(mixture_dir, tmp_path / "out", Splitter()) == 1
    assert contents(tmp_path / "out") == whole


def test_a_mixture_whose_gain_is_none_is_separated_again(mixture_dir: Path, tmp_path: Path) -> None:
    run(mixture_dir, tmp_path / "out", Splitter())
    whole, table = contents(tmp_path / "out"), tmp_path / "out" / "utt2gain"
    write_table(table, read_table(table) | {"m1": "-3", "m2": "nan", "m3": "7"})
    assert run(mixture_dir, tmp_path / "out", Splitter()) == 3
    assert contents(tmp_path / "out") == whole


@pytest.mark.parametrize("change", [{"model": "another model"}, {"iterations": 2}])
def test_another_model_or_option_leaves_nothing_of_the_old(mixture_dir: Path, tmp_path: Path, change: dict) -> None:
    run(mixture_dir, tmp_path / "out", Splitter(50.0))
    for name in ("scores.csv", "summary.json"):
        (tmp_path / "out" / name).write_text("of the old")
    assert run(mixture_dir, tmp_path / "out", Splitter(), **change) == 5
    run(mixture_dir, tmp_path / "new", Splitter(), **change)
    assert contents(tmp_path / "out").keys() == contents(tmp_path / "new").keys()
    assert contents(tmp_path / "out")["utt2gain"] == contents(tmp_path / "new")["utt2gain"]
    assert read_separation(tmp_path / "out") == read_separation(tmp_path / "new")


def test_mixtures_made_anew_are_separated_anew(mixture_dir: Path, tmp_path: Path) -> None:
    run(mixture_dir, tmp_path / "out", Splitter())
    path = read_mixtures(mixture_dir)["m0"]
    write_audio(path, read_audio(path, RATE)[::-1], RATE)
    assert run(mixture_dir, tmp_path / "out", Splitter()) == 5


def test_what_was_moved_or_copied_is_not_done_again(
    program: Callable, mixture_dir: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipe's folder with paths from there, then with paths from the root, as a cluster's own disk has them."""
    old, new, away = tmp_path / "old", tmp_path / "new", tmp_path / "away"

    def name_files(recipe: Path, begin: str) -> None:
        for table in ("wav", "spk1", "spk2"):
            files = {f"m{i}": f"{begin}data/audio/{table}/m{i}.wav" for i in range(5)}
            write_table(recipe / "data" / f"{table}.scp", files)

    def run_stages(begin: str, exp: str) -> list[str]:
        separate = program("separate.py", "--model", f"{exp}/model", "--data", f"{begin}data", "--out", f"{exp}/set")
        return [separate.out, program("score.py", "--data", f"{begin}data", "--separated", f"{exp}/set").out]

    old.mkdir()
    mixture_dir.rename(old / "data")
    model.rename(old / "exp").joinpath("best.pt").rename(old / "exp" / "model")
    name_files(old, "")
    monkeypatch.chdir(old)
    assert "5 separated now" in run_stages("", "exp")[0]
    shutil.copytree(old, new, copy_function=shutil.copyfile)  # with new times
    before = contents(new)
    monkeypatch.chdir(new)
    assert all("nothing to do" in said or "done before" in said for said in run_stages("", "exp"))
    assert contents(new) == before
    shutil.rmtree(old)
    new.rename(away)
    monkeypatch.chdir(tmp_path)
    name_files(away, f"{away}/")
    (away / "exp").rename(tmp_path / "exp")
    assert all("nothing to do" in said or "done before" in said for said in run_stages(f"{away}/", "exp"))
    summary = json.loads((tmp_path / "exp/set/summary.json").read_text())
    assert summary["data"] == f"{away}/data"
    assert all(Path(file).exists() for at in summary["listen"].values() for file in [at["mixture"], *at["estimates"]])


def test_estimates_have_the_bits_of_their_mixtures(mixture_dir: Path, tmp_path: Path) -> None:
    mixtures, levels = read_mixtures(mixture_dir), {"PCM_16": 1.0, "PCM_24": 1e-4, "PCM_32": 1e-5, "FLOAT": 1e-7}
    for path, (subtype, level) in zip(mixtures.values(), levels.items(), strict=False):
        soundfile.write(path, level * soundfile.read(path)[0], RATE, subtype)
    run(mixture_dir, tmp_path / "out", Splitter(10.0), iterations=1)
    estimates = read_table(tmp_path / "out/iter1/spk1.scp")
    assert [soundfile.info(estimates[f"m{i}"]).subtype for i in range(4)] == list(levels)
    for utt, path in estimates.items():
        mix = soundfile.read(mixtures[utt])[0]
        np.testing.assert_allclose(soundfile.read(path)[0], mix, rtol=2e-7)  # floats, as the network's
        assert mix.any()


def test_estimates_that_would_clip_are_scaled_by_one_recorded_gain(mixture_dir: Path, tmp_path: Path) -> None:
    run(mixture_dir, tmp_path / "out", Splitter(50.0))
    for utt, gain in read_table(tmp_path / "out" / "utt2gain").items():
        mix = read_audio(read_mixtures(mixture_dir)[utt], RATE)
        peaks = []
        for i in (1, 2, 3):
            for c, factor in ((1, 5.0), (2, -2.5)):
                est = read_audio(tmp_path / "out" / f"iter{i}" / f"spk{c}" / f"{utt}.wav", RATE)
                assert np.abs(est - mix * factor * i * float(gain)).max() <= 0.51 / 32768
                peaks.append(np.abs(est).max())
        assert float(gain) < 1 and max(peaks) == pytest.approx(0.99, abs=1e-4)


def test_a_peak_that_16_bits_just_do_not_hold_is_scaled(mixture_dir: Path, tmp_path: Path) -> None:
    path = read_mixtures(mixture_dir)["m0"]
    write_audio(path, np.full(100, 0.5, np.float32), RATE)
    run(mixture_dir, tmp_path / "out", Splitter(level=20.0), iterations=1)
    assert read_gains(tmp_path / "out")["m0"] == pytest.approx(0.99)


def test_a_folder_of_another_program_is_left_alone(mixture_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "iter1").mkdir(parents=True)
    with pytest.raises(UserError, match="iter1: was not made by a separation"):
        run(mixture_dir, tmp_path / "out", Splitter())
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["iter1"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "m1.wav: no such file"),
        (lambda path: path.write_bytes(b"no audio"), "m1.wav: cannot be read"),
        (
            lambda path: soundfile.write(path, np.zeros(99), 16000),
            "m1.wav: sample rate is 16000 Hz .*take a model of that",
        ),
    ],
)
def test_unusable_audio_is_named(
    mixture_dir: Path, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(Path(read_mixtures(mixture_dir)["m1"]))
    with pytest.raises(UserError, match=message):
        run(mixture_dir, tmp_path / "out", Splitter())
    assert not list(tmp_path.glob("out/iter*/*.scp"))


def test_estimates_that_are_no_numbers_are_refused(mixture_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="m0: the model's estimates are not finite"):
        run(mixture_dir, tmp_path / "out", Splitter(float("nan")))


def test_a_name_that_leaves_the_folder_is_refused(mixture_dir: Path, tmp_path: Path) -> None:
    write_table(mixture_dir / "wav.scp", {"../m0": read_mixtures(mixture_dir)["m0"]})
    with pytest.raises(UserError, match="'../m0' cannot name a file"):
        run(mixture_dir, tmp_path / "out", Splitter())


def test_the_program_separates_by_a_checkpoint(
    program: Callable, mixture_dir: Path, model: Path, tmp_path: Path
) -> None:
    for iterations in (1, 3):
        options = ("--data", mixture_dir, "--out", tmp_path / f"out{iterations}", "--iterations", iterations)
        ended = program("separate.py", "--model", model, *options, "--device", "cpu")
        assert ended.status == 0, ended.err
        assert "5 separated now" in ended.out
    one, three = (contents(tmp_path / f"out{n}") for n in (1, 3))
    audio = [name for name in one if name.endswith(".wav")]
    assert len(audio) == 10 and all(one[name] == three[name] for name in audio)  # later iterations change no earlier
    for utt, path in read_table(tmp_path / "out3" / "iter3" / "spk2.scp").items():
        assert len(read_audio(path, RATE)) == len(read_audio(read_mixtures(mixture_dir)[utt], RATE))
    record = json.loads(three["separation.json"])
    assert "separate.py --model" in record["command"] and record["trained_for"] == 2


def test_a_published_model_is_the_same_as_its_checkpoint(
    program: Callable, mixture_dir: Path, model: Path, tmp_path: Path
) -> None:
    network, config = load_model(model)
    PretrainedModel(network, config, "").save_pretrained(tmp_path / "published")
    for place, out in ((model, "one"), (tmp_path / "published", "other")):
        ended = program("separate.py", "--model", place, "--data", mixture_dir, "--out", tmp_path / out)
        assert ended.status == 0, ended.err
    one, other = contents(tmp_path / "one"), contents(tmp_path / "other")
    assert all(one[name] == other[name] for name in one if name.endswith(".wav"))


def test_the_program_says_that_it_scaled(program: Callable, mixture_dir: Path, model: Path, tmp_path: Path) -> None:
    state = load_checkpoint(model / "best.pt")
    for name, weights in state["model"].items():
        if name.startswith("head."):
            weights *= 1000
    save_checkpoint(model / "best.pt", state)
    options = ("--model", model, "--data", mixture_dir, "--out", tmp_path / "out")
    assert "of 5 mixtures would have clipped" in program("separate.py", *options).out
    assert all(float(gain) < 1 for gain in read_table(tmp_path / "out" / "utt2gain").values())


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--model", "nowhere"), "nowhere: no such checkpoint"),
        (("--data", "nowhere"), "nowhere/wav.scp: no such file"),
        (("--iterations", -1), "iterations"),
        (("--nj", 0), "nj"),
        (("--speed", 2), "speed"),
    ],
)
def test_the_program_refuses_in_one_line(
    program: Callable, mixture_dir: Path, model: Path, tmp_path: Path, option: tuple, message: str
) -> None:
    options = ("--model", model, "--data", mixture_dir, "--out", tmp_path / "out")
    ended = program("separate.py", *options, *option)
    assert ended.status == 2
    assert message in ended.err and ended.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_digest_of_a_model_tells_weights_and_sizes_apart() -> None:
    layer, config = nn.Linear(2, 2), {"chunk": 8}
    same = model_sha256(layer, config)
    assert model_sha256(layer, {"chunk": 10}) != same
    with torch.no_grad():
        layer.weight[0, 0] += 1e-6
    assert model_sha256(layer, config) != same
