"""Fixtures: experiments as the stages leave them, without having run."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from itersep.data.audio import read_audio, write_audio
from itersep.data.datadir import read_table, write_data_dir, write_table
from itersep.score.bins import summarize_bins
from itersep.score.scores import Job, Score, find_jobs, score_mixture, write_scores
from itersep.score.stopping import summarize_stopping
from itersep.score.summary import name_files, summarize
from itersep.separate.folder import Separation, files_sha256
from itersep.simulate.manifest import Mixture, NoiseDraw, SpeakerDraw, manifest_text, read_mixtures


@pytest.fixture
def write_experiment() -> Callable[..., Path]:
    """Writes an experiment's files; ``gains`` are the mean SI-SDRi after each iteration."""
    return _write_experiment


def _write_experiment(
    folder: Path, gains: tuple[float, ...], mixture_db: float = -0.5, config: dict[str, Any] | None = None
) -> Path:
    scores = [
        Score(
            f"m{k}",
            c,
            i,
            c if i else 0,
            values={"si_sdr_db": mixture_db + gain + k / 8, "sdr_db": mixture_db + gain + k / 4}
            | ({"si_sdri_db": gain} if i else {}),
        )
        for k in (-1, 0, 1)
        for i, gain in enumerate((0.0, *gains))
        for c in (1, 2)
    ]
    summary = {"data": "data/test_2mix", "model_sha256": "0f"} | summarize(scores) | {"command": "score.py --data here"}
    est = {k: ((f"spk1/m{k}.wav", f"spk2/m{k}.wav"),) * len(gains) for k in (-1, 0, 1)}
    jobs = [Job(f"m{k}", f"mix/m{k}.wav", (), est[k], 8000) for k in est]
    summary["listen"] = name_files(summary["listen"], jobs)
    separation = {"model_sha256": "0f", "mixtures_sha256": "0e", "sources": 2, "iterations": len(gains)}
    separation |= {"sample_rate": 8000, "device": "cpu", "command": "separate.py --model there"}
    history = [
        {"epoch": n, "mixtures": 80 * n, "train_loss": -n / 2, "valid_loss": (n - 3) ** 2 / 4 - 1, "seconds": 30.5}
        for n in range(1, 6)
    ]
    (folder / "test_2mix").mkdir(parents=True)
    (folder / "test_2mix" / "summary.json").write_text(json.dumps(summary))
    write_scores(folder / "test_2mix" / "scores.csv", scores)
    (folder / "test_2mix" / "separation.json").write_text(json.dumps(separation))
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in history))
    (folder / "config.yaml").write_text(yaml.safe_dump(config or {"model": {"iterations": 2}}))
    (folder / "run.json").write_text(json.dumps({"command": "train.py --out it", "parameters": 1234567, "threads": 2}))
    return folder


RATE, SECONDS, MIXTURES, ITERATIONS = 8000, 2.0, 4, 3


def tone_hz(kind: str, speaker: int = 0, iteration: int = 0, experiment: int = 0) -> int:
    """The frequency that tells by ear what is played."""
    return {"mix": 150, "ref": 250 + 150 * speaker, "est": 600 + 800 * experiment + 300 * iteration + 100 * speaker}[
        kind
    ]


@pytest.fixture(scope="session")
def tones() -> Callable[..., int]:
    """The frequency (Hz) by which `write_audible`'s signals are told apart: (kind, speaker, iteration, experiment)."""
    return tone_hz


@pytest.fixture(scope="session")
def write_audible() -> Callable[..., list[Path]]:
    """Writes scored experiments whose mixtures m0 (the best) to m3 (the worst) are there to be heard.

    Outputs change places from one iteration to the next; ``level`` is that of all estimates' files, and another
    ``seed`` makes other mixtures.
    """
    return _write_audible


def _write_audible(root: Path, names: tuple[str, ...] = ("small",), level: float = 1.0, seed: int = 0) -> list[Path]:
    utts = [f"m{j}" for j in range(MIXTURES)]
    files = {name: {utt: root / f"data/audio/{name}/{utt}.wav" for utt in utts} for name in ("wav", "spk1", "spk2")}
    for j, utt in enumerate(utts):
        ref = [_tone(tone_hz("ref", c), 0.1, seed=seed + 10 * j + c) for c in (1, 2)]
        signals = {"spk1": ref[0], "spk2": ref[1], "wav": ref[0] + ref[1] + _tone(tone_hz("mix"), 0.3)}
        for name, samples in signals.items():
            write_audio(files[name][utt], samples, RATE)
    write_data_dir(root / "data", files["wav"], {utt: utt for utt in utts}, dict.fromkeys(utts, SECONDS))
    for name in ("spk1", "spk2"):
        write_table(root / f"data/{name}.scp", files[name])
    (root / "data/mixtures.jsonl").write_text(manifest_text(_draw(utt, j) for j, utt in enumerate(utts)))
    return [_separate_and_score(root, name, k, level) for k, name in enumerate(names)]


def _separate_and_score(root: Path, name: str, experiment: int, level: float) -> Path:
    folder = root / "exp" / name / "test_2mix"
    mixtures = read_table(root / "data/wav.scp")
    for i in range(1, ITERATIONS + 1):
        tables: dict[int, dict[str, Path]] = {1: {}, 2: {}}
        for j, utt in enumerate(mixtures):
            for c in (1, 2):
                output = c if i % 2 else 3 - c
                tables[output][utt] = folder / f"iter{i}/spk{output}/{utt}.wav"
                ref = read_audio(root / f"data/audio/spk{c}/{utt}.wav", RATE)
                own = _tone(tone_hz("est", c, i, experiment), 0.15 + 0.05 * j)
                write_audio(tables[output][utt], level * (ref + own), RATE)
        for output, table in tables.items():
            write_table(folder / f"iter{i}/spk{output}.scp", table)
    made_by = Separation("0f", files_sha256(mixtures), 2, ITERATIONS, RATE, "cpu")
    (folder / "separation.json").write_text(json.dumps(asdict(made_by) | {"command": "separate.py --model there"}))
    scores = [score for job in find_jobs(root / "data", folder) for score in score_mixture(job)]
    write_scores(folder / "scores.csv", scores)
    summary = {"data": str(root / "data"), "model_sha256": "0f"} | summarize(scores) | {"command": "score.py"}
    summary["bins"] = summarize_bins(scores, read_mixtures(root / "data/mixtures.jsonl"))
    summary |= {"stopping": summarize_stopping(scores), "listen": {}}
    (folder / "summary.json").write_text(json.dumps(summary))
    config = {"model": {"iterations": ITERATIONS}}
    (folder.parent / "config.yaml").write_text(yaml.safe_dump(config))
    history = [{"epoch": n, "train_loss": -n, "valid_loss": -n / 2, "seconds": 30} for n in range(1, 6)]
    (folder.parent / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in history))
    return folder.parent


def _tone(hz: float, amplitude: float, seed: int | None = None) -> np.ndarray:
    """A tone; with a seed, in a little noise of its own, as signals that are scored need more than one frequency."""
    tone = amplitude * np.sin(2 * np.pi * hz * np.arange(round(SECONDS * RATE)) / RATE)
    return tone if seed is None else tone + 0.01 * np.random.default_rng(seed).uniform(-1, 1, len(tone))


def _draw(utt: str, j: int) -> Mixture:
    speakers = tuple(SpeakerDraw(f"voice{c}", 0, (1.0 + c, 2.0, 1.5), 1.5 * (c - 1)) for c in (1, 2))
    noise = NoiseDraw("hum", 0, (1.0, 1.0, 1.0), 12.5)
    mic_m, t60_s = (2.5, 3.0, 1.0), 0.15 + 0.1 * j
    return Mixture(utt, RATE, round(SECONDS * RATE), (4.0, 5.0, 3.0), t60_s, mic_m, 0.25 * j, speakers, noise, 0.9)
