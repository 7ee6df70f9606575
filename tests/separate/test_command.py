"""itersep-separate: what it writes for what it is given, and what it leaves when it cannot."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from itersep.data.datadir import write_table
from itersep.separate.command import main
from itersep.separate.waves import load
from itersep.train.checkpoint import load_checkpoint, save_checkpoint
from itersep.train.config import Experiment
from tests.runs import ROOT, end, start


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], model: Path, tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Runs the command into ``out``; its status, and what it said."""

    def run(*options: object) -> tuple[int, str, str]:
        argv = ["itersep-separate", "--model", model, "--out", tmp_path / "out", "--device", "cpu", *options]
        monkeypatch.setattr(sys, "argv", list(map(str, argv)))
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capfd.readouterr()

    return run


def record(
    path: Path,
    rate: int = 8000,
    seconds: float = 1.0,
    channels: int = 1,
    level: float = 0.3,
    subtype: str | None = None,
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(len(str(path))).uniform(-level, level, (round(rate * seconds), channels))
    soundfile.write(path, samples, rate, subtype)
    return path


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("suffix", "subtype"), [(".wav", "PCM_16"), (".flac", "PCM_16"), (".ogg", "PCM_24"), (".mp3", "PCM_24")]
)
@pytest.mark.parametrize("rate", [8000, 44100])
def test_any_format_at_any_rate_keeps_rate_and_length(
    run: Callable, tmp_path: Path, suffix: str, subtype: str, rate: int
) -> None:
    path = record(tmp_path / f"a b{suffix}", rate, level=0.1)  # estimates of an untrained model may be louder
    assert run(path) == (0, f"{path} -> {tmp_path}/out/a b_spk1.wav {tmp_path}/out/a b_spk2.wav\n", "")
    for c in (1, 2):
        info = soundfile.info(tmp_path / "out" / f"a b_spk{c}.wav")
        assert (info.samplerate, info.channels, info.subtype) == (rate, 1, subtype)
        assert info.frames == soundfile.info(path).frames


LEVELS = {"PCM_U8": 0.3, "PCM_16": 0.3, "PCM_24": 1e-4, "PCM_32": 1e-5, "FLOAT": 1e-7, "DOUBLE": 1e-7}


@pytest.mark.parametrize(
    ("options", "written"),
    [
        ((), ["PCM_16", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "FLOAT"]),
        (("--format", "flac"), ["PCM_16", "PCM_16", "PCM_24", "PCM_24", "PCM_24", "PCM_24"]),
        (("--subtype", "PCM_24"), ["PCM_24"] * 6),
    ],
)
def test_estimates_have_the_bits_of_their_recording(
    run: Callable, tmp_path: Path, model: Path, options: tuple, written: list[str]
) -> None:
    for name, level in LEVELS.items():
        record(tmp_path / "in" / f"{name}.wav", seconds=2.5, level=level, subtype=name)
    status, said, _ = run(tmp_path / "in", "--window", 2, "--overlap", 0.5, "--iterations", 3, *options)
    assert status == 0 and ("3 recordings have more bits than flac's 24" in said) == ("flac" in options)
    separator = load(model, "cpu")
    separator.windows = type(separator.windows)(2, 0.5)
    for name, subtype in zip(LEVELS, written, strict=True):
        est = separator.separate(soundfile.read(tmp_path / "in" / f"{name}.wav", dtype="float32")[0], 8000, 3)
        half_a_step = 0.0 if subtype == "FLOAT" else 0.51 * 2.0 ** (1 - int(subtype[4:]))
        files = sorted((tmp_path / "out").glob(f"{name}_spk*"))
        assert [soundfile.info(file).subtype for file in files] == [subtype] * 2
        heard = np.stack([soundfile.read(file, dtype="float64")[0] for file in files])
        assert np.abs(heard - est).max() <= half_a_step and np.abs(est).max() > 0


def test_folders_keep_their_structure_and_tables_their_names(run: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_table(tmp_path / "wav.scp", {"utt-1": record(tmp_path / "else" / "x.wav")})
    record(folder / "a.wav"), record(folder / "day 2" / "a.flac")
    assert run(folder, tmp_path / "wav.scp")[0] == 0
    expected = [f"{name}_spk{c}.wav" for name in ("a", "day 2/a", "utt-1") for c in (1, 2)]
    assert names(tmp_path / "out") == sorted([*expected, "separated.jsonl"])


def test_each_channel_is_separated_under_its_own_name(run: Callable, tmp_path: Path) -> None:
    stereo, mono, out = record(tmp_path / "stereo.wav", channels=2), tmp_path / "mono.wav", tmp_path / "out"
    samples, rate = soundfile.read(stereo)
    soundfile.write(mono, samples[:, 1], rate)
    assert run(stereo, "--channel", 1)[0] == 0
    first = (out / "stereo_ch1_spk1.wav").read_bytes()
    assert "1 of 3 recordings were done before" in run(stereo, mono, "--channel", "all")[1]
    expected = [f"{name}_spk{c}.wav" for name in ("mono", "stereo_ch1", "stereo_ch2") for c in (1, 2)]
    assert names(out) == [*expected[:2], "separated.jsonl", *expected[2:]]
    second = (out / "stereo_ch2_spk1.wav").read_bytes()
    assert second == (out / "mono_spk1.wav").read_bytes() != first == (out / "stereo_ch1_spk1.wav").read_bytes()


def test_again_it_does_what_is_not_done(run: Callable, tmp_path: Path) -> None:
    one, other = record(tmp_path / "one.wav"), record(tmp_path / "other.wav")
    run(one)
    before = (tmp_path / "out" / "one_spk1.wav").stat().st_mtime_ns
    with open(tmp_path / "out" / "separated.jsonl", "a") as notes:
        notes.write('{"name": "tor')  # by a kill
    status, said, _ = run(one, other)
    assert status == 0 and "1 of 2 recordings were done before" in said and "one.wav ->" not in said
    assert (tmp_path / "out" / "one_spk1.wav").stat().st_mtime_ns == before
    assert "2 of 2" in run(one, other)[1]
    (tmp_path / "out" / "one_spk2.wav").unlink()
    assert "done before" not in run(one)[1]


def test_what_is_moved_is_not_separated_again(run: Callable, tmp_path: Path) -> None:
    """A recording elsewhere, with another time of change, and the estimates elsewhere: their contents are the same."""
    path = record(tmp_path / "a.wav")
    run(path)
    (tmp_path / "elsewhere").mkdir()
    moved, out = path.rename(tmp_path / "elsewhere" / "a.wav"), (tmp_path / "out").rename(tmp_path / "moved")
    os.utime(moved, (0, 0))
    assert "1 of 1 recordings were done before" in run(moved, "--out", out)[1]


def test_what_something_else_has_written_over_is_made_again(run: Callable, tmp_path: Path) -> None:
    one, estimate = record(tmp_path / "one.wav"), tmp_path / "out" / "one_spk1.wav"
    run(one)
    made = estimate.read_bytes()
    assert "->" in run(one, "--format", "flac", "--iterations", 3)[1]  # beside it, under another name
    assert "done before" in run(one)[1]
    estimate.write_bytes(b"mine")
    assert "done before" not in run(one)[1] and estimate.read_bytes() == made


def test_bad_files_are_named_at_the_end_and_the_others_done(run: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("a.wav", "b.wav", "c.wav", "d.wav"):
        record(folder / name, seconds=3.0)
    (folder / "b.wav").write_text("no audio"), not_finite(folder / "c.wav"), (folder / "notes.txt").touch()
    options = (folder, tmp_path / "gone.m4a", "--window", 1, "--overlap", 0.2)
    status, said, errors = run(*options)
    assert status == 1 and f"{folder}: passed over as not audio, by name: 1 .txt" in said
    named = [line.removeprefix("itersep-separate: ").partition(": ")[0] for line in errors.splitlines()]
    assert named[:-1] == [f"{folder}/b.wav", f"{tmp_path}/gone.m4a", f"{folder}/c.wav"]
    assert errors.endswith("3 of 5 recordings could not be separated; the others are done\n")
    made = [f"{name}_spk{c}.wav" for name in "ad" for c in (1, 2)]
    assert names(tmp_path / "out") == sorted([*made, "separated.jsonl"])
    record(folder / "b.wav")
    status, said, _ = run(*options)
    assert status == 1 and "2 of 4 recordings were done before" in said


def test_where_nothing_can_be_done_the_status_is_that_of_a_mistake(run: Callable, tmp_path: Path) -> None:
    status, _, errors = run(tmp_path / "gone.wav", tmp_path / "gone.m4a")
    assert status == 2 and errors.endswith(": 2 of 2 recordings could not be separated\n") and errors.count("\n") == 3


def test_a_pipe_is_separated_like_its_file(run: Callable, tmp_path: Path, model: Path) -> None:
    path, out = record(tmp_path / "a.wav"), tmp_path / "piped"
    assert run(path)[0] == 0
    root = Path(__file__).resolve().parent.parent.parent
    program = f"{sys.executable} -m itersep.separate.command --model {model} --out {out} --device cpu"
    command = f"cat {path} | {program} - <(cat {path})"
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    subprocess.run(["bash", "-c", command], env=environment, check=True)
    (piped,) = out.glob("pipe*_spk1.wav")
    assert piped.read_bytes() == (out / "stdin_spk1.wav").read_bytes() == (tmp_path / "out/a_spk1.wav").read_bytes()
    assert len(names(out)) == 5  # and nothing is left of what came through


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--iterations", 3), "with iterations 2, not 3"),
        (("--subtype", "FLOAT"), "with subtype PCM_16, not FLOAT"),
        (("--model", "other"), "by another model ({model})"),
        (("day2/a.wav",), "from other audio ({path}) than day2/a.wav holds"),
    ],
)
def test_estimates_are_not_replaced_by_others_unless_asked(
    run: Callable,
    experiment: Callable[..., Experiment],
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    path, out = record(tmp_path / "a.wav"), tmp_path / "out"
    other = experiment("--train.seed=1")
    save_checkpoint(tmp_path / "other" / "best.pt", {"config": other.config, "model": other.model.state_dict()})
    record(Path("day2/a.wav"))
    run(path)
    before = {name: (out / name).read_bytes() for name in names(out)}
    given = options if options[0].endswith(".wav") else (path, *options)
    status, _, error = run(*given)
    what = f"{out}/a_spk1.wav: was made {message.format(model=model, path=path)}; choose another --out, or"
    assert status == 2 and what in error and error.count("\n") == 1
    assert {name: (out / name).read_bytes() for name in names(out)} == before
    assert "->" in run(*given, "--overwrite")[1]
    assert "1 of 1 recordings were done before" in run(*given)[1]


def test_names_as_long_as_they_may_be(run: Callable, tmp_path: Path) -> None:
    stem = "n" * (255 - len("_spk1.wav"))
    status, said, _ = run(record(tmp_path / f"{stem}.wav"))
    assert status == 0 and "->" in said and (tmp_path / "out" / f"{stem}_spk2.wav").exists()


def test_a_name_that_is_not_utf8_is_refused(run: Callable, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    record(tmp_path / "a.wav").rename(path)
    status, _, complaint = run(path)
    assert status == 2 and "its name is not UTF-8; rename it" in complaint and complaint.count("\n") == 1


def test_silence_is_separated_into_silence(run: Callable, tmp_path: Path) -> None:
    path = record(tmp_path / "a.wav", level=0.0)
    assert run(path)[0] == 0
    assert not soundfile.read(tmp_path / "out" / "a_spk1.wav")[0].any()


def test_estimates_that_would_clip_are_scaled_together(run: Callable, tmp_path: Path, model: Path) -> None:
    path = record(tmp_path / "a.wav", level=0.9)
    run(path)
    plain = [soundfile.read(tmp_path / "out" / f"a_spk{c}.wav")[0] for c in (1, 2)]
    state = load_checkpoint(model / "best.pt")
    for name, weights in state["model"].items():
        if name.startswith("head."):
            weights *= 100  # and the last iteration's masks more than that
    save_checkpoint(model / "best.pt", state)
    status, said, _ = run(path, "--overwrite")
    assert status == 0 and "1 recordings have estimates that would have clipped" in said
    loud = [np.abs(soundfile.read(tmp_path / "out" / f"a_spk{c}.wav")[0]).max() for c in (1, 2)]
    assert max(loud) == pytest.approx(0.99, abs=1e-4) and max(np.abs(plain[0])) < 0.99
    assert json.loads((tmp_path / "out" / "separated.jsonl").read_text().splitlines()[-1])["gain"] < 1


def test_early_ends_are_told(run: Callable, tmp_path: Path) -> None:
    path = record(tmp_path / "a.wav")
    assert ", 2 iterations" in run(path, "--iterations", 5, "--until-change-db", -0.01)[1]
    assert ", 5 iterations" in run(path, "--iterations", 5, "--until-change-db", -300, "--overwrite")[1]
    assert json.loads((tmp_path / "out" / "separated.jsonl").read_text().splitlines()[-1])["iterations_used"] == 5


def cut_short(path: Path) -> None:
    flac = path.with_suffix(".flac")
    samples, rate = soundfile.read(path)
    soundfile.write(flac, samples, rate)
    path.write_bytes(flac.read_bytes()[: flac.stat().st_size // 2])
    flac.unlink()


def not_finite(path: Path) -> None:
    samples, rate = soundfile.read(path)
    samples[-9] = np.nan
    soundfile.write(path, samples, rate, subtype="FLOAT")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "bad.wav: no such file"),
        (lambda path: path.write_text("no audio"), "bad.wav: cannot be read as audio"),
        (lambda path: soundfile.write(path, np.zeros(0), 8000), "bad.wav: holds no samples"),
        (lambda path: record(path, channels=2), "bad.wav: has 2 channels; choose one by --channel"),
        (cut_short, "bad.wav: "),
        (not_finite, "bad.wav: holds samples that are not finite"),
    ],
)
def test_a_bad_recording_is_named_and_nothing_of_it_written(
    run: Callable, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    path = record(tmp_path / "bad.wav", seconds=3.0)
    spoil(path)
    status, _, error = run(path, "--window", 1, "--overlap", 0.2)
    assert status == 2
    assert error.startswith("itersep-separate: ") and message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists() or names(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--channel", 3), "no channel 3"),
        (("--channel", 0), "channel"),
        (("--channel", "every"), "channel"),
        (("--iterations", 0), "iterations"),
        (("--format", "mp3"), "format"),
        (("--subtype", "PCM_8"), "subtype"),
        (("--subtype", "FLOAT", "--format", "flac"), "--subtype FLOAT: flac holds 24 bits at most"),
        (("--window", 2, "--overlap", 1.5), "--overlap: windows of 2 s cannot overlap by 1.5 s"),
        (("--iteration", 2), "is it --iterations?"),
        (("--iterations", 3, "--until-change-db", 20), "--until-change-db, --iterations: the change to end at must be"),
        (("--until-change-db", -20), "there are no more than 2; ask for 3 or more"),
        (("--model", "nowhere"), "nowhere"),
        (("--speed", 2), "speed"),
    ],
)
def test_a_bad_option_is_named(run: Callable, tmp_path: Path, options: tuple, message: str) -> None:
    status, _, error = run(record(tmp_path / "a.wav"), *options)
    assert status == 2 and message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_what_would_be_written_twice_is_refused(run: Callable, tmp_path: Path) -> None:
    status, _, error = run(record(tmp_path / "x" / "a.wav"), record(tmp_path / "y" / "a.flac"))
    assert status == 2 and "y/a.flac" in error and "x/a.wav" in error
    status, _, error = run(record(tmp_path / "b_ch2.wav"), record(tmp_path / "b.wav", channels=2), "--channel", "all")
    assert status == 2 and "/b.wav: its estimates would have the same names as those of" in error


def test_no_recording_is_written_over_by_the_estimates_of_another(run: Callable, tmp_path: Path) -> None:
    first, second = record(tmp_path / "a.wav"), record(tmp_path / "a_spk1.wav")
    before = second.read_bytes()
    status, _, error = run(first, second, "--out", tmp_path)
    assert status == 2 and "a_spk1.wav: is to be separated itself" in error and error.count("\n") == 1
    assert second.read_bytes() == before and not (tmp_path / "a_spk2.wav").exists()


def test_estimates_are_not_separated_again(run: Callable, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    record(tmp_path / "in" / "a.wav")
    for _ in range(2):
        assert run(tmp_path / "in", "--out", tmp_path / "in" / "out")[0] == 0
    assert len(names(tmp_path / "in" / "out")) == 3
    assert run(tmp_path / "in", "--out", tmp_path / "in")[0] == 2
    assert run(tmp_path / "exp")[0] == 2  # a folder without audio


def test_ended_in_the_middle_it_leaves_no_part(tmp_path: Path, model: Path) -> None:
    path, out = record(tmp_path / "a.wav", seconds=600.0), tmp_path / "out"
    argv = ["--model", model, "--out", out, path, "--iterations", 50, "--window", 1, "--overlap", 0.5]
    process = start(ROOT / "itersep/separate/command.py", *argv, output=tmp_path / "log")
    while not out.exists() and process.is_alive():
        time.sleep(0.01)
    process.terminate()
    assert end([process]) == [143] and "the same command resumes it" in (tmp_path / "log").read_text()
    assert names(out) == []
