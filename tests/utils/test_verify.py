"""utils/verify.py, and what it is for: the same seed gives the same bytes, however the work is done, here and there."""

import hashlib
import os
import platform
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from itersep.data.audio import write_audio
from itersep.data.datadir import write_data_dir
from tests.processes import await_end
from tests.runs import ROOT, end, start

RATE = 8000
COUNT = 40
GOLDEN_DRAWS = "3e160917c3660144"
GOLDEN_AUDIO = "5890a04775434cb9"


@pytest.fixture
def options(tmp_path) -> list[object]:
    """Options of simulate.py without --out. The clips are integers from a generator, so the same everywhere."""
    rng = np.random.default_rng(2021)
    options: list[object] = ["--spec.sample_rate", RATE, "--spec.length_s", 0.5, "--spec.t60_s", "[0.1, 0.3]"]
    for kind, speakers in (("speech", 4), ("noise", 2)):
        wav = {f"{kind}{k}": tmp_path / kind / f"{kind}{k}.wav" for k in range(speakers)}
        for path in wav.values():
            write_audio(path, rng.integers(-9000, 9000, RATE, dtype=np.int16), RATE)
        write_data_dir(tmp_path / kind, wav, {utt: utt for utt in wav}, dict.fromkeys(wav, 1.0))
        options += [f"--{kind}", tmp_path / kind]
    return options


@pytest.fixture
def simulate(program, options):
    """Simulate COUNT mixtures, or as many as said, to a folder."""

    def run(out: Path, *more: object) -> Path:
        done = program("simulate.py", *options, "--count", COUNT, "--out", out, *more)
        assert done.status == 0, done.err
        return out

    return run


@pytest.fixture
def rendered(simulate, tmp_path) -> Path:
    """A small rendered set with its manifest."""
    return simulate(tmp_path / "set", "--count", 3)


def kill_when_begun(options: list[object], out: Path, *more: object) -> None:
    """Start the simulation, and kill it without warning when a part is done; its processes end with it."""
    command = [ROOT / "utils/simulate.py", *options, "--count", COUNT, "--out", out, *more]
    process = start(*command, output=out.with_name("log"))
    while not list(out.glob("audio/mix/[!.]*")):
        assert process.is_alive()
        time.sleep(0.001)
    process.kill()
    assert end([process]) == [-signal.SIGKILL]
    await_end(process.pid)


def test_the_same_seed_gives_the_same_bytes_however_the_work_is_done(program, simulate, options, tmp_path):
    """By one process, by two, and by three that are killed and go on; another seed gives others."""
    sets = {name: tmp_path / name / "s" for name in ("one", "two", "three", "other")}
    sets["three"].parent.mkdir()
    simulate(sets["one"], "--nj", 1)
    written = program("verify.py", "--write", sets["one"])
    assert written.out == f"{sets['one']}/SHA256SUMS: {4 * COUNT + 1} files\n"
    simulate(sets["two"], "--nj", 2)
    kill_when_begun(options, sets["three"], "--nj", 3)
    assert not (sets["three"] / "wav.scp").exists()
    simulate(sets["three"], "--nj", 1)
    simulate(sets["other"], "--seed", 1)
    for name in ("two", "three", "other"):
        shutil.copy(sets["one"] / "SHA256SUMS", sets[name])
    same = program("verify.py", sets["two"], sets["three"])
    assert (same.status, same.out.count("as SHA256SUMS says")) == (0, 2)
    other = program("verify.py", sets["other"])
    assert (other.status, other.out) == (1, "")
    assert f"{sets['other']}: {4 * COUNT + 1} changed: audio/mix/s-000000.wav, " in other.err


def test_a_seed_gives_these_draws_and_these_bytes_on_every_machine(program, simulate, tmp_path):
    """Change these digests only with a change that is meant to give other mixtures, and say so in CHANGELOG.md."""
    golden = simulate(tmp_path / "golden", "--count", 8)
    program("verify.py", "--write", golden)
    assert hashlib.sha256((golden / "mixtures.jsonl").read_bytes()).hexdigest()[:16] == GOLDEN_DRAWS
    if platform.machine() in ("x86_64", "AMD64"):  # compilers for others may fuse the products and sums of an FFT
        assert hashlib.sha256((golden / "SHA256SUMS").read_bytes()).hexdigest()[:16] == GOLDEN_AUDIO


def test_what_is_missing_extra_or_changed_is_named(program, rendered):
    assert program("verify.py", "--write", rendered).status == 0
    assert program("verify.py", rendered).status == 0
    (rendered / "audio/spk1/set-000000.wav").unlink()
    (rendered / "audio/mix/more.wav").touch()
    with open(rendered / "audio/noise1/set-000002.wav", "r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    done = program("verify.py", rendered)
    assert (done.status, done.out) == (1, "")
    for line in (
        "1 missing: audio/spk1/set-000000.wav",
        "1 extra: audio/mix/more.wav",
        "1 changed: audio/noise1/set-000002.wav",
    ):
        assert f"{rendered}: {line}\n" in done.err
    assert "verify.py: 1 of 1 sets are not what their SHA256SUMS say, see above\n" in done.err


def test_the_manifest_is_sha256sums_own(program, rendered):
    sha256sum = shutil.which("sha256sum") or pytest.skip("needs sha256sum")
    program("verify.py", "--write", rendered, "--nj", 1)
    ours = (rendered / "SHA256SUMS").read_bytes()
    names = [line.split()[1] for line in ours.splitlines()]
    theirs = subprocess.run([sha256sum, *names], cwd=rendered, capture_output=True, check=True).stdout
    assert ours == theirs and len(names) == 3 * 4 + 1


@pytest.mark.parametrize(
    ("sums", "said"),
    [
        (None, "SHA256SUMS: no such file; write it with --write"),
        ("0" * 64 + "  a\nmd5  b\n", "SHA256SUMS:2: expected '<sha256>  <file>', found 'md5  b'"),
    ],
)
def test_a_manifest_that_is_none_is_told(program, rendered, sums, said):
    if sums is not None:
        (rendered / "SHA256SUMS").write_text(sums)
    done = program("verify.py", rendered)
    assert done.status == 2 and said in done.err and done.err.count("\n") == 1


def test_a_set_that_is_not_rendered_is_told(program, simulate, tmp_path):
    drawn = simulate(tmp_path / "drawn", "--count", 3, "--render", "false")
    done = program("verify.py", "--write", drawn)
    assert done.status == 2 and "drawn: holds no rendered audio" in done.err
    assert not (drawn / "SHA256SUMS").exists()
