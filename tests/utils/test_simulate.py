"""utils/simulate.py as its user meets it: the same bytes by any number of processes, and after any interruption."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from itersep.data.audio import read_audio
from itersep.data.datadir import read_table, write_table
from itersep.data.validate import validate_data_dir
from itersep.simulate.mixture import SimulationSpec, load_clips, read_mixtures, render_mixture
from tests.processes import await_end
from tests.runs import ROOT, Ended, contents, end, start

PROGRAM = ROOT / "utils/simulate.py"
SPEC = ["--spec.sample_rate", "8000", "--spec.length_s", "1", "--spec.t60_s", "[0.1, 0.2]"]
COUNT = 12


@pytest.fixture
def options(speech_dir, noise_dir) -> list[str]:
    """The options without --out."""
    return ["--speech", str(speech_dir), "--noise", str(noise_dir), "--count", str(COUNT), *SPEC]


@pytest.fixture
def simulate(options, program) -> Callable[..., Ended]:
    """Runs the program in this process."""
    return lambda *more, options=options: program("simulate.py", *options, *more)


def nameless(folder: Path) -> dict[str, bytes]:
    """Every file's bytes; tables name their folder, which is taken out."""
    return {name: data.replace(str(folder).encode(), b"") for name, data in contents(folder).items()}


def wait_for(condition, seconds=60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.01)


def test_set_is_whole_and_the_same_by_any_number_of_processes(simulate, tmp_path, speech_dir, noise_dir):
    one, two = tmp_path / "one" / "dev_2mix", tmp_path / "two" / "dev_2mix"
    for out, nj in ((one, 1), (two, 3)):
        done = simulate("--out", out, "--nj", nj)
        assert done.status == 0, done.err
        assert f"{COUNT} mixtures, {COUNT} rendered now" in done.out
    assert nameless(one) == nameless(two)
    check = validate_data_dir(one, 8000)
    assert (check.faults, check.utterances) == ([], COUNT)

    # a mixture drawn and rendered now has the bits of the files
    speech, noise = load_clips(speech_dir, 8000), load_clips(noise_dir, 8000)
    gains = read_table(one / "utt2gain")
    for mixture in read_mixtures(one / "mixtures.jsonl")[:5]:
        rendered = render_mixture(mixture, speech, noise)
        named = {"wav": rendered.mix, "spk1": rendered.ref[0], "spk2": rendered.ref[1], "noise1": rendered.noise}
        for name, samples in named.items():
            path = read_table(one / f"{name}.scp")[mixture.id]
            np.testing.assert_array_equal(read_audio(path, 8000), samples)
        assert float(gains[mixture.id]) == pytest.approx(rendered.gain, rel=1e-5)

    # once more: nothing is touched
    before = {path: path.stat().st_mtime_ns for path in one.rglob("*")}
    again = simulate("--out", one, "--nj", 2)
    assert again.status == 0 and "nothing left to render" in again.out
    assert before == {path: path.stat().st_mtime_ns for path in one.rglob("*")}

    # moved: its tables name its files where they are now
    three = (tmp_path / "two").rename(tmp_path / "three") / "dev_2mix"
    assert "nothing left to render" in simulate("--out", three).out
    assert nameless(three) == nameless(one)


@pytest.mark.parametrize("nj", [1, 2])
def test_goes_on_after_an_interruption(options, simulate, tmp_path, nj):
    whole, broken = tmp_path / "whole" / "s", tmp_path / "broken" / "s"
    mixtures = 120  # so many that they are not done before they are stopped
    count = ["--count", mixtures]
    process = start(PROGRAM, *options, *count, "--out", broken, "--nj", nj, output=tmp_path / "log")
    wait_for(lambda: len(list((broken / "audio" / "mix").glob("[!.]*.wav"))) >= 5)
    os.killpg(process.pid, signal.SIGINT)  # Ctrl-C goes to all processes of a terminal's job
    assert end([process]) == [130]
    await_end(process.pid)  # no worker is left
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert not (broken / "wav.scp").exists() and not list(broken.rglob(".*.wav"))
    (broken / "audio" / "mix" / ".s-000050.1.wav").write_bytes(b"half")  # as a killed writer may leave it

    done = simulate(*count, "--out", broken)
    assert done.status == 0, done.err
    assert 0 < int(done.out.split("mixtures, ")[1].split()[0]) < mixtures  # not all over again
    simulate(*count, "--out", whole)
    assert nameless(broken) == nameless(whole)


def test_parts_side_by_side_and_then_a_run_without_make_the_same_set(options, simulate, tmp_path):
    whole, shared = tmp_path / "whole" / "s", tmp_path / "shared" / "s"
    simulate("--out", whole)
    logs = {number: tmp_path / f"log{number}" for number in (1, 2, 3)}
    parts = [start(PROGRAM, *options, "--out", shared, "--part", f"{k}/3", output=log) for k, log in logs.items()]
    assert end(parts) == [0, 0, 0]
    for number, log in logs.items():
        assert f"{COUNT} mixtures, 4 rendered now by part {number}/3" in log.read_text()
    assert not (shared / "wav.scp").exists()
    (shared / "audio" / "mix" / "s-000007.wav").unlink()  # whatever part lost it
    assert "0 rendered" not in simulate("--out", shared, "--part", "2/3").out
    assert "nothing left to render" in simulate("--out", shared, "--part", "1/3").out
    assert "nothing left to render" in simulate("--out", shared).out
    assert nameless(shared) == nameless(whole)


def test_a_part_leaves_the_halves_of_others_alone(simulate, tmp_path):
    half = tmp_path / "s/audio/mix/.s-000001.elsewhere.7.wav"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"being written")
    assert simulate("--out", tmp_path / "s", "--part", "1/2").status == 0 and half.exists()
    assert simulate("--out", tmp_path / "s").status == 0 and not half.exists()


def test_a_mixture_that_was_removed_comes_back_alone(simulate, tmp_path):
    out = tmp_path / "s"
    simulate("--out", out)
    before = contents(out)
    (out / "audio" / "spk2" / "s-000003.wav").unlink()
    assert "1 rendered now" in simulate("--out", out).out
    assert contents(out) == before


@pytest.mark.parametrize("size", [0, 44, 1000])
def test_what_a_power_cut_left_empty_or_short_is_made_again(simulate, tmp_path, size):
    out = tmp_path / "s"
    simulate("--out", out)
    before = contents(out)
    for part, mixture in (("mix", 3), ("noise1", 5)):
        os.truncate(out / "audio" / part / f"s-00000{mixture}.wav", size)
    assert "2 rendered now" in simulate("--out", out).out
    assert contents(out) == before


def test_audio_is_on_the_disk_before_a_table_says_that_it_is_there(simulate, tmp_path, monkeypatch):
    out, seen = tmp_path / "s", []

    def sync():
        seen.append((len(list((out / "audio").glob("*/*.wav"))), (out / "wav.scp").exists()))

    monkeypatch.setattr(os, "sync", sync)
    assert simulate("--out", out).status == 0
    assert seen == [(4 * COUNT, False)]


def test_a_longer_set_begins_with_the_shorter(simulate, tmp_path):
    short, long = tmp_path / "a" / "s", tmp_path / "b" / "s"
    for out, count in ((short, 10), (long, 20)):
        assert simulate("--out", out, "--count", count, "--render", "false").status == 0
        assert [path.name for path in out.iterdir()] == ["mixtures.jsonl"]
    assert read_mixtures(long / "mixtures.jsonl")[:10] == read_mixtures(short / "mixtures.jsonl")


def test_other_draws_are_not_mixed_in(simulate, tmp_path):
    out = tmp_path / "s"
    simulate("--out", out, "--render", "false")
    before = contents(out)
    for change in (["--seed", 1], ["--count", COUNT + 1], ["--spec.length_s", 2]):
        other = simulate("--out", out, *change)
        assert other.status == 2 and f"remove {out} to simulate it again" in other.err
        assert len(other.err.splitlines()) == 1
    assert contents(out) == before


def test_spec_comes_from_yaml_and_gives_way_to_the_command_line(simulate, options, tmp_path):
    (tmp_path / "spec.yaml").write_text("sources: 3\nlength_s: 0.5\nwall_margin_m: 0.6\nmic_height_m: [0.7, 0.8]\n"
                                        "source_height_m: [1.0, 1.5]\n")  # fmt: skip
    bare = options[: options.index(SPEC[0])]
    more = ["--spec", tmp_path / "spec.yaml", "--spec.sample_rate", 8000, "--out", tmp_path / "s"]
    done = simulate(*more, options=bare)
    assert done.status == 0, done.err
    for mixture in read_mixtures(tmp_path / "s" / "mixtures.jsonl"):
        assert (mixture.length, len(mixture.speakers)) == (4000, 3)
        assert 0.7 <= mixture.mic_m[2] <= 0.8
        assert mixture.peak_limit == SimulationSpec().peak_limit
    assert (tmp_path / "s" / "spk3.scp").exists()


def test_without_noise(simulate, options, tmp_path):
    at = options.index("--noise")
    out = tmp_path / "s"
    assert simulate("--out", out, options=options[:at] + options[at + 2 :]).status == 0
    assert not (out / "noise1.scp").exists() and (out / "wav.scp").exists()
    assert validate_data_dir(out).faults == []


@pytest.mark.parametrize("nj", [1, 2])
def test_a_bad_clip_ends_all_in_one_sentence(simulate, tmp_path, speech_dir, nj):
    for path in (speech_dir / "audio").glob("s1*.wav"):
        path.write_bytes(b"not audio")
    done = simulate("--out", tmp_path / "s", "--nj", nj)
    assert done.status == 2
    last = done.err.splitlines()[-1]
    assert last.startswith("simulate.py: ") and str(speech_dir / "audio" / "s1-") in last
    assert "Traceback" not in done.err
    assert not (tmp_path / "s" / "wav.scp").exists() and not list((tmp_path / "s").rglob(".*.wav"))


@pytest.mark.parametrize(
    "mistake, said",
    [
        (["--count", "0"], "--count must be at least 1, not 0"),
        (["--nj", "0"], "--nj must be at least 1, not 0"),
        (["--part", "3/2"], "--part is I/N with I from 1 to N, such as 3/16, not '3/2'"),
        (["--speech", "nowhere"], "nowhere/wav.scp: no such file"),
        (["--noise", "nowhere"], "nowhere/wav.scp: no such file"),
        (["--spec.overlap", "[0.5, 2]"], "overlap is [0.5, 2.0]"),
        (["--spec.loudness", "3"], "--spec.loudness"),
        (["--spec.sources", "9"], "has 3 speakers where a mixture needs 9"),
        (["--spec", "nowhere.yaml"], "nowhere.yaml"),
        (["--spec.engine", "ray"], "spec.engine"),
        (["--tac", "nowhere.pkl", "--spec.sample_rate", "16000"], "--spec.length_s says how mixtures are drawn"),
    ],
)
def test_mistakes_end_in_one_sentence(simulate, tmp_path, mistake, said):
    done = simulate("--out", tmp_path / "s", *mistake)
    assert done.status == 2
    assert said in done.err and len(done.err.splitlines()) == 1
    assert not (tmp_path / "s").exists()


# The paper's lists


@pytest.fixture
def from_list(tac_corpus, tmp_path, simulate):
    """Run the program on a list of four mixtures."""
    path = tac_corpus.write(tmp_path / "list.pkl")
    options = ["--tac", str(path), "--speech", str(tac_corpus.speech), "--noise", str(tac_corpus.noise)]
    return lambda *more: simulate("--out", tmp_path / "test_2mix", *more, options=options)


def test_a_list_becomes_a_set_like_any_other(from_list, tac_corpus, tmp_path):
    done = from_list("--nj", 2)
    assert done.status == 0, done.err
    out = tmp_path / "test_2mix"
    assert "4 mixtures, 4 rendered now; 1 (25.0 %) have the direct path only" in done.out
    assert validate_data_dir(out, 16000).faults == [] and not (out / "missing.txt").exists()
    for mixture, entry in zip(read_mixtures(out / "mixtures.jsonl"), tac_corpus.entries, strict=True):
        assert (mixture.t60_s, mixture.overlap, list(mixture.mic_m)) == (
            entry["RT60"], entry["overlap_ratio"], entry["mic_pos"][0])  # fmt: skip
    assert "nothing left to render" in from_list().out
    other = from_list("--microphone", 2)
    assert other.status == 2 and "was drawn with other options" in other.err


def test_a_list_can_be_cut_short_and_heard_elsewhere(from_list, tac_corpus, tmp_path):
    assert from_list("--count", 2, "--microphone", 6, "--spec.peak_limit", 0.5, "--render", "false").status == 0
    mixtures = read_mixtures(tmp_path / "test_2mix/mixtures.jsonl")
    assert [list(mixture.mic_m) for mixture in mixtures] == [entry["mic_pos"][5] for entry in tac_corpus.entries[:2]]
    assert {mixture.peak_limit for mixture in mixtures} == {0.5}


def test_mixtures_without_their_files_stop_all_unless_they_may_be_left_out(from_list, tac_corpus, tmp_path):
    for name in ("wav.scp", "utt2spk", "utt2dur"):
        table = read_table(tac_corpus.speech / name)
        write_table(tac_corpus.speech / name, {utt: table[utt] for utt in ("1-7-0001", "2-7-0001")})
    out, file = tmp_path / "test_2mix", "test-clean/3/7/3-7-0001.flac"
    stopped = from_list()
    assert stopped.status == 2 and len(stopped.err.splitlines()) == 1
    assert f"2 of 4 mixtures need missing files (1: {file})" in stopped.err and not out.exists()
    done = from_list("--allow_missing", "true")
    assert done.status == 0, done.err
    assert "2 of 4 mixtures need missing files" in done.out and "2 mixtures, 2 rendered now" in done.out
    assert (out / "missing.txt").read_text() == f"{file} 2\n"
    assert sorted(read_table(out / "wav.scp")) == ["test_2mix-000000", "test_2mix-000003"]
    first = from_list("--allow_missing", "true", "--count", 1)
    assert first.status == 2 and "was drawn with other options" in first.err


def test_mistakes_with_lists_end_in_one_sentence(from_list, simulate, tac_corpus, tmp_path):
    (tmp_path / "foreign.pkl").write_bytes(b"\x80\x03cos\nsystem\nX\x02\x00\x00\x00id\x85R.")
    speech = ["--speech", str(tac_corpus.speech)]
    for done, said in (
        (from_list("--tac", tmp_path / "foreign.pkl"), "foreign.pkl: names 'os.system'"),
        (from_list("--tac", tmp_path), "no such file"),
        (from_list("--microphone", 9), "has microphones 1 to 6, not 9"),
        (from_list("--spec.t60_s", "[0.1, 0.2]"), "--spec.t60_s says how mixtures are drawn"),
        (simulate("--out", tmp_path / "test_2mix", "--tac", "x", options=speech), "--tac needs --noise"),
        (simulate("--out", tmp_path / "test_2mix", "--microphone", 2), "give --tac too"),
        (simulate("--out", tmp_path / "test_2mix", "--allow_missing", "true"), "give --tac too"),
    ):
        assert done.status == 2 and said in done.err and len(done.err.splitlines()) == 1
    assert not (tmp_path / "test_2mix").exists()


def test_an_engine_that_is_not_installed_ends_all_before_it_begins(simulate, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gpuRIR", None)
    out = tmp_path / "s"
    done = simulate("--out", out, "--spec.engine", "gpurir")
    assert done.status == 2 and "tools/install_gpurir.sh" in done.err and len(done.err.splitlines()) == 1
    assert not out.exists()
    assert simulate("--out", out, "--spec.engine", "gpurir", "--render", "false").status == 0
    assert {mixture.engine for mixture in read_mixtures(out / "mixtures.jsonl")} == {"gpurir"}
    other = simulate("--out", out)
    assert other.status == 2 and "was drawn with other options" in other.err
