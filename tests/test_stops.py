"""Every stage, stopped at random moments by SIGKILL, SIGTERM or Ctrl-C, and run again: the same bytes, no orphans."""

import csv
import hashlib
import io
import os
import shutil
import signal
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from .conftest import TacCorpus, voice
from .data.test_download import Handler, Server
from .processes import STOPPED, await_beginning, await_end
from .runs import ROOT, contents, end, start

STOPS = int(os.environ.get("ITERSEP_KILLS", 1))  # of each stage
NJ = min(STOPS, 2)  # processes take seconds to come up: in a short run, tests/system/test_parallel.py alone has some
Command = list[object]  # a program and its options; it reads and writes below the current folder


def write_speech(folder: Path, names: list[str], seconds: float, rate: int = 16000) -> None:
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, voice(seed, seconds * rate / 8000), rate)


@pytest.fixture
def prepare_corpus(tmp_path: Path) -> Command:
    """Stage 0 of a corpus of one's own."""
    write_speech(tmp_path / "speech", [f"s{s}/{i}.flac" for s in range(6) for i in range(2)], 3.0)
    write_speech(tmp_path / "noises", [f"{i}.wav" for i in range(6)], 2.0)
    corpora = ["--corpus_dir", tmp_path / "speech", "--noise_dir", tmp_path / "noises"]
    return [ROOT / "utils/prepare_corpus.py", *corpora, "--nj", NJ]


@pytest.fixture
def prepare_librispeech(tmp_path: Path) -> Command:
    """Stage 0 of the paper's recipe."""
    parts = {"train-clean-5": 3, "dev-clean-2": 4}
    names = [f"{part}/{s}/1/{s}-1-{i:04}.flac" for part in parts for s in range(parts[part]) for i in range(5)]
    write_speech(tmp_path / "LibriSpeech", names, 0.5)
    write_speech(tmp_path / "noises", [f"n{i}.wav" for i in range(1, 25)], 0.5, rate=20000)
    corpora = ["--librispeech", tmp_path, "--parts", "train-clean-5,dev-clean-2,dev-clean-2"]
    program = ROOT / "egs/librispeech_nonspeech/local/prepare_data.py"
    return [program, *corpora, "--nonspeech", tmp_path / "noises", "--noise_resample", "true", "--nj", NJ]


class SlowHandler(Handler):
    """Sends a little at a time."""

    def setup(self) -> None:
        super().setup()
        send, size = self.wfile.write, 1 << 14

        def send_slowly(data: bytes) -> None:
            for first in range(0, len(data), size):
                send(data[first : first + size])
                time.sleep(0.005)

        self.wfile.write = send_slowly


@pytest.fixture
def download(tmp_path: Path, rng: np.random.Generator) -> Iterator[Command]:
    """Stage 0 of a corpus from the network: 1 MB in 100 files, checked and unpacked."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as file:
        for number in range(100):
            info = tarfile.TarInfo(f"LibriSpeech/{number}.flac")
            info.size = 10_000
            file.addfile(info, io.BytesIO(rng.bytes(info.size)))
    checksum = "sha256:" + hashlib.sha256(archive.getvalue()).hexdigest()
    program = f"""
import runpy
from itersep.data.corpora import SOURCES, Source
SOURCES["dev-clean"] = Source(SOURCES["dev-clean"].url, {checksum!r})
runpy.run_path({str(ROOT / "utils/download.py")!r}, run_name="__main__")
"""
    (tmp_path / "download.py").write_text(program)
    with Server() as server:
        server.RequestHandlerClass = SlowHandler
        server.files = {"/12/dev-clean.tar.gz": archive.getvalue()}
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield [tmp_path / "download.py", "dev-clean", "--openslr", server.base]
        server.shutdown()


@pytest.fixture
def simulate(speech_dir: Path, noise_dir: Path) -> Command:
    """Stage 1, mixtures that are drawn."""
    spec = ["--spec.sample_rate", 8000, "--spec.length_s", 1, "--spec.t60_s", "[0.1, 0.3]"]
    clips = ["--speech", speech_dir, "--noise", noise_dir]
    return [ROOT / "utils/simulate.py", *clips, *spec, "--count", 60, "--out", "data/test_2mix", "--nj", NJ]


@pytest.fixture
def simulate_list(tac_corpus: TacCorpus, tmp_path: Path) -> Command:
    """Stage 1, mixtures of the paper's lists."""
    path = tac_corpus.write(tmp_path / "list.pkl", tac_corpus.entries * 6)
    clips = ["--speech", tac_corpus.speech, "--noise", tac_corpus.noise]
    return [ROOT / "utils/simulate.py", *clips, "--tac", path, "--out", "data/test_2mix", "--nj", NJ]


@pytest.fixture
def simulate_librimix(tac_corpus: TacCorpus, tmp_path: Path) -> Command:
    """Stage 1, mixtures of LibriMix's lists."""
    with open(tmp_path / "list.csv", "w", newline="") as file:
        names = ["mixture_ID", "source_1_path", "source_1_gain", "source_2_path", "source_2_gain"]
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([f"m{i}", "speech/1-7-0001.flac", i / 40, "speech/2-7-0001.flac", 0.5] for i in range(1, 31))
    options = ["--csv", tmp_path / "list.csv", "--speech", tac_corpus.speech, "--out", "data/test_2mix", "--nj", NJ]
    return [ROOT / "utils/simulate_librimix.py", *options]


@pytest.fixture
def separate(model: Path, mixture_dir: Path) -> Command:
    """Stage 3."""
    options = ["--model", model, "--data", mixture_dir, "--out", "exp/test", "--iterations", 12, "--nj", NJ]
    return [ROOT / "utils/separate.py", *options, "--device", "cpu"]


@pytest.fixture
def separate_recordings(model: Path, tmp_path: Path) -> Command:
    """itersep-separate."""
    write_speech(tmp_path / "recordings", [f"{i}.flac" for i in range(3)], 3.0)
    options = ["--model", model, "--out", "separated", "--device", "cpu", "--window", 1, "--overlap", 0.25]
    return [ROOT / "itersep/separate/command.py", tmp_path / "recordings", *options]


@pytest.fixture
def score(separate: Command, mixture_dir: Path, folder: Callable[[str], Path]) -> Command:
    """Stage 4, of what is separated in the first folder."""
    run(separate, folder("first"))
    return [ROOT / "utils/score.py", "--data", mixture_dir, "--separated", "exp/test", "--nj", NJ]


@pytest.fixture
def report(score: Command, config: Path, folder: Callable[[str], Path]) -> Command:
    """The pages of stage 4."""
    first = folder("first")
    run(score, first)
    run([ROOT / "utils/train.py", "--config", config, "--out", "exp", "--train.epochs", 1], first)
    (first / "exp/best.pt").unlink()  # the scores are of another model
    return [ROOT / "utils/report.py", "exp"]


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[str], Path]:
    """Current folders for a command, by name; they begin with what is in the first one."""
    first = tmp_path / "runs/first"
    first.mkdir(parents=True)

    def make(name: str) -> Path:
        path = first.with_name(name)
        return path if path.exists() else shutil.copytree(first, path)

    return make


def run(command: Command, folder: Path) -> float:
    """Run a command to its end, at which it must be done; the seconds from its beginning on."""
    output = folder.with_suffix(".log")
    process = start(*command, output=output, folder=folder)
    await_beginning(process)
    began = time.monotonic()
    assert end([process]) == [0], output.read_text()
    return time.monotonic() - began


def stop(command: Command, folder: Path, after_s: float, number: int, group: bool) -> bool:
    """Start a command and stop it; False if it was too fast. No process may be left, nor a word too much be said."""
    output = folder.with_suffix(".log")
    process = start(*command, output=output, folder=folder)
    await_beginning(process)
    process.join(after_s)
    if process.is_alive():
        (os.killpg if group else os.kill)(process.pid, number)
    (status,) = end([process])
    await_end(process.pid)
    if status == 0:
        return False
    said = output.read_text()
    assert status == STOPPED[number], said
    if number != signal.SIGKILL:
        assert said.splitlines()[-1].endswith("; the same command resumes it") and "Traceback" not in said, said
    return True


STAGES = [
    *("prepare_corpus", "prepare_librispeech", "download"),
    *("simulate", "simulate_list", "simulate_librimix"),
    *("separate", "separate_recordings", "score", "report"),
]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_is_stopped_at_random_moments_comes_to_the_same_bytes(
    stage: str, folder: Callable[[str], Path], request: pytest.FixtureRequest
) -> None:
    command, seed = request.getfixturevalue(stage), STAGES.index(stage)
    rng = np.random.default_rng(seed)
    length_s, whole = run(command, folder("whole")), contents(folder("whole"))
    for k in range(STOPS):
        number = list(STOPPED)[(seed + k) % len(STOPPED)]
        after_s = length_s * (k + rng.uniform()) / STOPS
        while not stop(command, folder(f"{k}"), after_s, number, group=rng.random() < 0.5):
            shutil.rmtree(folder(f"{k}"))
            after_s *= rng.uniform()
        run(command, folder(f"{k}"))
        assert contents(folder(f"{k}")) == whole
        shutil.rmtree(folder(f"{k}"))
