"""A recording of two people, from the command line in one go, by the model that comes with the package."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from scipy.signal import fftconvolve

from itersep.score.metrics import si_sdr_db
from itersep.separate.command import main
from itersep.simulate.rir import simulate_rir

RATE, SECONDS = 16000, 40


def spoken(folder: Path, room_m: tuple[float, float, float], t60_s: float, begin_s: float, seed: int) -> np.ndarray:
    """What a microphone hears of a speaker in a room: utterances with pauses of 1 to 3 s, from ``begin_s`` on."""
    generator = np.random.default_rng(seed)
    place = [generator.uniform(0.5, np.subtract(room_m, 0.5))[None] for _ in range(2)]
    response = np.asarray(simulate_rir(room_m, t60_s, *place, RATE)).reshape(-1)
    voice, at = np.zeros(RATE * SECONDS), round(begin_s * RATE)
    for path in sorted(folder.rglob("*.flac")):
        samples = soundfile.read(path)[0][: max(0, len(voice) - at)]
        voice[at : at + len(samples)] = samples / samples.std() if len(samples) else 0
        at += len(samples) + round(generator.uniform(1, 3) * RATE)
    heard = fftconvolve(voice, response)[: len(voice)]
    return 0.05 * heard / heard.std()


def test_two_people_in_two_rooms(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of the simulator's mixtures: rooms of their own, no noise, forty seconds with pauses, one begins alone."""
    folders = sorted(path for path in (shared / "data/LibriSpeech/test-other").iterdir() if path.is_dir())
    ref = np.stack([spoken(folders[1], (4.0, 5.0, 3.0), 0.2, 0.0, 1), spoken(folders[5], (6.0, 4.0, 2.7), 0.3, 3.0, 2)])
    soundfile.write(tmp_path / "talk.wav", ref.sum(0), RATE)
    monkeypatch.setattr(sys, "argv", ["itersep-separate", str(tmp_path / "talk.wav"), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    est = [soundfile.read(tmp_path / f"out/talk_spk{c}.wav") for c in (1, 2)]
    assert [rate for _, rate in est] == [RATE, RATE] and [len(x) for x, _ in est] == [RATE * SECONDS] * 2
    heard, ref = torch.from_numpy(np.stack([x for x, _ in est])), torch.from_numpy(ref)
    before = si_sdr_db(ref.sum(0).expand_as(ref), ref).mean()
    after = max(si_sdr_db(heard[order], ref).mean() for order in ([0, 1], [1, 0]))
    assert after > before + 1
