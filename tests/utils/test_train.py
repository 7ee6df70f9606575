import json
import os
import resource
import runpy
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributed import run as torchrun

from itersep.system.errors import Terminated
from itersep.train.config import build_experiment, config_parser
from itersep.train.trainer import Trainer
from tests.processes import STOPPED, await_beginning, await_end
from tests.runs import TRAIN, Ended, assert_same_run, end, history, serve_programs, start

Run = Callable[..., Ended]


@pytest.fixture
def train(config: Path, tmp_path: Path) -> Run:
    """Run utils/train.py on the small experiment, as a process; its errors are in the output."""

    def run(*options: object) -> Ended:
        (status,) = end([start(TRAIN, "--config", config, *options, output=tmp_path / "log")])
        return Ended(status, (tmp_path / "log").read_text(), "")

    return run


def test_a_run_leaves_what_the_next_stages_read_and_a_second_does_nothing(train: Run, tmp_path: Path) -> None:
    out = tmp_path / "exp with a space"
    first = train("--out", out, "--train.epochs", 2)
    assert first.status == 0, first.out
    names = {
        "config.yaml",
        "train.log",
        "history.jsonl",
        "run.json",
        "last.pt",
        "previous.pt",
        "best.pt",
        "tensorboard",
    }
    assert {path.name for path in out.iterdir()} == names
    records = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2] and len(records[0]["valid_si_sdri_db"]) == 2
    described = json.loads((out / "run.json").read_text())
    assert "train.epochs 2" in described["command"] and described["precision"] == "fp32"
    assert described["parameters"] == sum(w.numel() for w in torch.load(out / "best.pt")["model"].values())
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    second = train("--out", out, "--train.epochs", 2)
    assert second.status == 0 and "trained already" in second.out
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    for epochs, threads, turns in ((3, 1, None), (4, 2, [(3, 1)]), (5, 1, [(3, 1), (4, 2)])):
        assert train("--out", out, "--train.epochs", epochs, "--train.threads", threads).status == 0
        run = json.loads((out / "run.json").read_text())
        assert run["threads"] == threads
        assert turns == ([(turn["epochs"], turn["threads"]) for turn in run["before"]] if "before" in run else None)


def test_the_commit_is_of_the_code_not_of_the_pages_of_results(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@y", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    for name in ("utils/train.py", "itersep/code.py", "egs/mini/RESULTS.md", "egs/mini/results/figure.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(Path(TRAIN).read_text() if name == "utils/train.py" else "before")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    find_commit = runpy.run_path(str(tmp_path / "utils/train.py"))["find_commit"]
    assert find_commit() == git("rev-parse", "HEAD")
    for name, mark in (("RESULTS.md", ""), ("results/figure.png", ""), ("../../itersep/code.py", "-dirty")):
        (tmp_path / "egs/mini" / name).write_text("after")
        assert find_commit() == git("rev-parse", "HEAD") + mark


def test_a_run_that_is_told_to_end_ends_like_an_undisturbed_one(config: Path, tmp_path: Path) -> None:
    options = ["--config", config, "--train.workers", 1, "--data.epoch_size", 20, "--train.save_every_s", 0]
    cut = tmp_path / "cut"
    assert end([start(TRAIN, *options, "--out", tmp_path / "whole", output=tmp_path / "log")]) == [0]
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        before = (cut / "last.pt").stat().st_mtime_ns if cut.exists() else 0
        process = start(TRAIN, *options, "--out", cut, output=tmp_path / "log")
        while not (cut / "last.pt").exists() or (cut / "last.pt").stat().st_mtime_ns == before:
            assert process.is_alive(), (tmp_path / "log").read_text()
            time.sleep(0.005)
        for _ in range(2):
            os.killpg(process.pid, number)  # the workers too, and more than once, as terminals and clusters do
        assert end([process]) == [status] and "Traceback" not in (tmp_path / "log").read_text()
    assert end([start(TRAIN, *options, "--out", cut, output=tmp_path / "log")]) == [0]
    assert "going on after epoch" in (tmp_path / "log").read_text()
    assert_same_run(tmp_path / "whole", cut)


def test_a_run_that_is_stopped_at_random_moments_ends_like_an_undisturbed_one(config: Path, tmp_path: Path) -> None:
    kills, rng, run = int(os.environ.get("ITERSEP_KILLS", 6)), np.random.default_rng(0), 0
    options = ["--config", config, "--train.workers", 1, "--train.save_every_s", 0, "--train.average_best", 2]
    assert end([start(TRAIN, *options, "--out", tmp_path / "whole", output=tmp_path / "log")]) == [0]
    while kills:
        run, killed = run + 1, True
        while killed:
            process = start(TRAIN, *options, "--out", tmp_path / f"cut{run}", output=tmp_path / "log")
            number = list(STOPPED)[kills % len(STOPPED)]
            killed = kills > 0 and stop_at_random(process, number, tmp_path / f"cut{run}/last.pt", rng)
            kills -= killed
        assert end([process]) == [0], (tmp_path / "log").read_text()
        assert_same_run(tmp_path / "whole", tmp_path / f"cut{run}")
        names = {path.name for path in (tmp_path / f"cut{run}").iterdir()}
        assert names == {path.name for path in (tmp_path / "whole").iterdir()}  # nothing half-written stays


def stop_at_random(process: ForkServerProcess, number: int, last: Path, rng: np.random.Generator) -> bool:
    """Stop a process some time after it has saved 0 to 8 times; returns whether it had not ended before."""
    await_beginning(process)
    saves, seen = rng.integers(9), 0
    while saves and process.is_alive():
        time.sleep(0.001)
        with suppress(FileNotFoundError):
            now = last.stat().st_mtime_ns
            saves, seen = saves - (now != seen), now
    process.join(rng.exponential(0.1))
    if process.is_alive():
        os.kill(process.pid, number)
    (status,) = end([process])
    await_end(process.pid)
    assert status in (0, STOPPED[number])
    return status != 0


def test_a_signal_during_validation_does_not_wait_for_its_end(
    config: Path, mixture_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes with the first validation mixture; the run ends, saved, and validates when it goes on."""
    parser = config_parser()
    experiment = build_experiment(parser, parser.parse_args(["--config", str(config), "--train.epochs=1"]))
    trainer = Trainer(experiment, tmp_path / "exp")
    load, loaded = trainer.validation.load, []

    def load_and_stop(key: tuple[int, int]) -> object:
        loaded.append(key)
        os.kill(os.getpid(), signal.SIGTERM)
        return load(key)

    monkeypatch.setattr(trainer.validation, "load", load_and_stop)
    with pytest.raises(Terminated):
        trainer.fit()
    assert len(loaded) < len(trainer.validation)
    again = Trainer(experiment, tmp_path / "exp")
    assert (again.progress.epoch, again.progress.batch) == (0, 5)
    again.fit()
    assert len(again.progress.history) == 1


def test_torchrun_starts_processes_that_train_like_one(config: Path, tmp_path: Path) -> None:
    options = ["--config", config, "--train.epochs", 1]
    assert end([start(TRAIN, *options, "--out", tmp_path / "one", output=tmp_path / "log")]) == [0]
    launch = [torchrun.__file__, "--standalone", "--nproc-per-node=2", TRAIN, *options, "--out", tmp_path / "two"]
    with serve_programs() as python:
        (tmp_path / "python").write_text(python)
        (tmp_path / "python").chmod(0o755)
        assert end([start(*launch, output=tmp_path / "log", PYTHON_EXEC=tmp_path / "python")]) == [0]
    assert json.loads((tmp_path / "two/run.json").read_text())["processes"] == 2
    (one,), (two,) = history(tmp_path / "one"), history(tmp_path / "two")
    for name in ("train_loss", "valid_loss"):
        assert two[name] == pytest.approx(one[name], abs=2e-4)


def test_mistakes_are_one_sentence_and_leave_nothing(
    program: Callable[..., Ended], config: Path, tmp_path: Path, mixture_dir: Path
) -> None:
    out = tmp_path / "exp"

    def refused(*options: object) -> str:
        ended = program("train.py", "--config", config, *options)
        assert ended.status == 2 and len(ended.err.strip().splitlines()) == 1, ended.err
        return ended.err

    assert "--train.epoch" in refused("--out", out, "--train.epoch", 2)
    assert "model.iterations" in refused("--out", out, "--model.iterations", "two")
    assert "out" in refused()
    assert "no.yaml" in refused("--out", out, "--config", tmp_path / "no.yaml")
    assert "none/wav.scp: no such file" in refused("--out", out, "--data.train", tmp_path / "none")
    assert "CUDA" in refused("--out", out, "--train.device", "cuda")
    (mixture_dir / "audio/wav/m1.wav").unlink()
    assert "wav/m1.wav" in refused("--out", out)
    assert not out.exists()


def test_audio_that_fails_in_mid_training_is_named(
    program: Callable[..., Ended], config: Path, tmp_path: Path, mixture_dir: Path
) -> None:
    (mixture_dir / "audio/spk2/m1.wav").write_text("no audio")
    ended = program("train.py", "--config", config, "--out", tmp_path / "exp", "--train.workers", 1)
    assert ended.status == 2 and "spk2/m1.wav: cannot be read as audio" in ended.err


def test_a_full_disk_is_named_and_the_checkpoint_before_it_stays(
    program: Callable[..., Ended], config: Path, tmp_path: Path
) -> None:
    out, limits = tmp_path / "exp", resource.getrlimit(resource.RLIMIT_FSIZE)
    options = ("--config", config, "--out", out, "--data.epoch_size", 2)
    assert program("train.py", *options, "--train.epochs", 1).status == 0
    before = (out / "last.pt").read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, limits[1]))  # writing then fails as on a full disk
    try:
        ended = program("train.py", *options, "--train.epochs", 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert ended.status == 1 and "Traceback" not in ended.err and f"train.py: {out}" in ended.err
    assert (out / "last.pt").read_bytes() == before
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_a_folder_that_cannot_be_written_is_named(program: Callable[..., Ended], config: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    ended = program("train.py", "--config", config, "--out", tmp_path / "file/exp")
    assert ended.status == 2 and "file" in ended.err and len(ended.err.strip().splitlines()) == 1
