"""Fixtures for all tests: seeded generators and small signals, never files of this machine."""

import pickle
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import yaml
from hypothesis import settings

from itersep.data.audio import to_pcm, write_audio
from itersep.data.datadir import write_data_dir, write_table
from itersep.train.checkpoint import save_checkpoint
from itersep.train.config import Experiment, build_experiment, config_parser
from itersep.train.trainer import Trainer
from tests import small
from tests.experiments import tones, write_audible, write_experiment  # noqa: F401 - fixtures
from tests.runs import ROOT, Ended, run_here, warm_server

SHARED = ROOT.parent / "shared"
settings.register_profile("untimed", deadline=None)  # the first example may load a library
settings.load_profile("untimed")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job and all that it starts ignore Ctrl-C


SLOW = (  # folders and modules of this folder whose tests run programs: stages, recipes, exports, browsers
    *("recipes", "utils", "test_bad_input.py", "test_extending.py", "test_stops.py", "share/test_export.py"),
    *("separate/test_command.py", "separate/test_estimates.py"),
    *("report/test_page.py", "report/test_page_browser.py", "train/test_distributed.py", "train/test_trainer.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that `tools/test.sh --fast` leaves out."""
    for item in items:
        path = item.path.relative_to(Path(__file__).parent)
        if any(path.is_relative_to(slow) for slow in SLOW):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test starts from the same random state."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # small tensors: more threads only wait for each other


@pytest.fixture(autouse=True)
def without_gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests run on the CPU, and so the same on all machines, but for those that ask for `cuda`."""
    if "cuda" not in request.fixturenames:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture
def cuda() -> torch.device:
    """The first GPU; tests that need one are skipped where there is none."""
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    return torch.device("cuda", 0)


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded numpy generator."""
    return np.random.default_rng(0)


@pytest.fixture
def shared() -> Path:
    """The folder of real corpora beside the project; tests that need it are skipped without it."""
    if not (SHARED / "data").is_dir():
        pytest.skip("needs ../shared")
    return SHARED


@pytest.fixture
def warm_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the processes of `map_parallel` start at once; tests/system/test_parallel.py has them start as elsewhere."""
    monkeypatch.setattr("itersep.system.parallel.get_context", lambda _: warm_server())


@pytest.fixture
def program(warm_workers: None, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs a program with options in this process, as from the command line: of utils/ by its name, or by its file."""

    def run(name: str | Path, *options: object) -> Ended:
        capfd.readouterr()
        status = run_here(name if name == "itersep-separate" else ROOT / "utils" / name, *options)
        return Ended(status, *capfd.readouterr())

    return run


RATE = 8000  # of the tiny corpora


def voice(seed: int, seconds: float) -> np.ndarray:
    """Noise with a slow envelope and a spectrum of its own: as much of a voice as a test needs."""
    generator = np.random.default_rng(seed)
    length = round(seconds * RATE)
    tilt = np.convolve(generator.standard_normal(length), generator.standard_normal(8), "same")
    envelope = 0.6 + 0.4 * np.sin(2 * np.pi * generator.uniform(2, 5) * np.arange(length) / RATE)
    signal = tilt * envelope
    return (0.3 * signal / np.abs(signal).max()).astype(np.float32)


@pytest.fixture
def speech_dir(tmp_path: Path) -> Path:
    """A speech data directory: 3 speakers with 2 utterances of 1.5 s at 8 kHz."""
    return write_speech(tmp_path)


@pytest.fixture
def noise_dir(tmp_path: Path) -> Path:
    """A noise data directory: 2 clips of 1 s at 8 kHz."""
    return write_noise(tmp_path)


def write_speech(folder: Path) -> Path:
    """What `speech_dir` is, in a folder."""
    return _clips_dir(folder / "speech", [f"s{s}" for s in range(3)], 2, 1.5)


def write_noise(folder: Path) -> Path:
    """What `noise_dir` is, in a folder."""
    return _clips_dir(folder / "noise", ["n0", "n1"], 1, 1.0)


def _clips_dir(path: Path, speakers: list[str], utterances: int, seconds: float) -> Path:
    wav, utt2spk = {}, {}
    for speaker in speakers:
        for i in range(utterances):
            utt = f"{speaker}-{i}"
            wav[utt], utt2spk[utt] = path / "audio" / f"{utt}.wav", speaker
            write_audio(wav[utt], voice(len(wav) + 100 * len(speakers), seconds), RATE)
    write_data_dir(path, wav, utt2spk, dict.fromkeys(wav, seconds))
    return path


@pytest.fixture
def mixture_dir(tmp_path: Path) -> Path:
    """A rendered mixture directory: 4 mixtures of two voices, 0.5 s at 8 kHz, and a fifth of 0.25 s."""
    return write_mixtures(tmp_path)


def write_mixtures(folder: Path) -> Path:
    """What `mixture_dir` is, in a folder."""
    path = folder / "mixtures"
    tables: dict[str, dict[str, Path]] = {"wav": {}, "spk1": {}, "spk2": {}}
    seconds = {f"m{i}": 0.5 if i < 4 else 0.25 for i in range(5)}
    for i, utt in enumerate(seconds):
        parts = [to_pcm(voice(10 * i + c, seconds[utt])) for c in (1, 2)]
        for name, samples in (("wav", parts[0] + parts[1]), ("spk1", parts[0]), ("spk2", parts[1])):
            tables[name][utt] = path / "audio" / name / f"{utt}.wav"
            write_audio(tables[name][utt], samples, RATE)
    for name in ("spk1", "spk2"):
        write_table(path / f"{name}.scp", tables[name])
    write_data_dir(path, tables["wav"], {utt: utt for utt in seconds}, seconds)
    return path


@pytest.fixture
def config(speech_dir: Path, noise_dir: Path, mixture_dir: Path, tmp_path: Path) -> Path:
    """A yaml file of a whole small experiment."""
    return write_config(tmp_path / "small.yaml", speech_dir, noise_dir, mixture_dir)


def write_config(path: Path, speech_dir: Path, noise_dir: Path, mixture_dir: Path) -> Path:
    """What `config` is, of these data directories."""
    simulation = {"length_s": 0.25, "t60_s": [0.1, 0.15]}
    data = {"train": str(speech_dir), "noise": str(noise_dir), "dev": str(mixture_dir), "epoch_size": 10}
    tree = {"model": small.MODEL, "data": data | {"simulation": simulation}, "train": small.TRAIN | {"epochs": 3}}
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.fixture
def experiment(config: Path) -> Callable[..., Experiment]:
    """Builds that experiment, with overrides such as '--train.epochs=1'."""
    return partial(build, config)


def build(config: Path, *overrides: str) -> Experiment:
    """The experiment of a yaml file."""
    parser = config_parser()
    return build_experiment(parser, parser.parse_args(["--config", str(config), *overrides]))


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That experiment, trained undisturbed to its end; not to be changed."""
    folder = tmp_path_factory.mktemp("whole")
    data = [write(folder) for write in (write_speech, write_noise, write_mixtures)]
    Trainer(build(write_config(folder / "small.yaml", *data)), folder / "exp").fit()
    return folder / "exp"


@pytest.fixture
def model(experiment: Callable[..., Experiment], tmp_path: Path) -> Path:
    """The folder of that experiment with its model, untrained."""
    built = experiment()
    save_checkpoint(tmp_path / "exp/best.pt", {"config": built.config, "model": built.model.state_dict()})
    return tmp_path / "exp"


class TacCorpus(NamedTuple):
    """Data directories, and the mixtures of a list over them, as the paper's dataset has it: at 16 kHz, of 4 s."""

    speech: Path
    noise: Path
    entries: list[dict[str, Any]]

    def write(self, path: Path, entries: object = None, protocol: int = 3) -> Path:
        """A list as its authors publish it."""
        path.write_bytes(pickle.dumps(self.entries if entries is None else entries, protocol))
        return path


@pytest.fixture
def tac_corpus(tmp_path: Path, rng: np.random.Generator) -> TacCorpus:
    """Three speakers with an utterance of 5 s each, a noise of 1 s and one of 5 s, and four mixtures."""
    for name, seconds in {"speech": {"1-7-0001": 5.0, "2-7-0001": 5.0, "3-7-0001": 5.0},
                          "noise": {"n1": 1.0, "n2": 5.0}}.items():  # fmt: skip
        paths = {utt: tmp_path / "listed" / name / "audio" / f"{utt}.wav" for utt in seconds}
        for utt, path in paths.items():
            write_audio(path, (0.1 * rng.standard_normal(round(16000 * seconds[utt]))).clip(-0.9, 0.9), 16000)
        write_data_dir(tmp_path / "listed" / name, paths, {utt: utt for utt in paths}, seconds)
    entries = []
    for index, (one, other, overlap, t60_s) in enumerate(
        [(1, 2, 0.0, 0.11), (2, 3, 1.0, 0.18), (3, 1, 0.37, 0.15), (2, 1, rng.uniform(), 0.101)]
    ):
        room_m = rng.uniform((3, 3, 2.5), (5, 5, 3) if index < 3 else (10, 10, 4))
        entries.append(
            {
                "room_size": room_m.tolist(),
                "RT60": t60_s,
                "mic_pos": rng.uniform(0.5, room_m - 0.5, (6, 3)).tolist(),
                "spk_pos": rng.uniform(0.5, room_m - 0.5, (2, 3)).tolist(),
                "noise_pos": rng.uniform(0.5, room_m - 0.5, (1, 3)).tolist(),
                "spk_angle": np.float64(1.1),
                "overlap_ratio": overlap,
                "speech": [f"test-clean/{s}/7/{s}-7-0001.flac" for s in (one, other)],
                "noise": f"n{1 + index % 2}.wav",
                "start_idx": 16000 - 4000 * index,
                "spk_snr": np.float64(rng.uniform(0, 5)),
                "noise_snr": np.float64(rng.uniform(10, 20)),
            }
        )
    return TacCorpus(tmp_path / "listed/speech", tmp_path / "listed/noise", entries)
