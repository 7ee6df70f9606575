"""What lies around and below the voices changes nothing of them: pauses, offsets, hum, rumble."""

import numpy as np
import pytest
import torch

import itersep
from itersep.models.sound import OFFSET_HZ, VOICE_HZ, Ear, HighPass, SoundOnly, find_sound
from itersep.score.metrics import assign, si_sdr_db
from itersep.separate.waves import Separator

RATE = 16000
SECONDS = 2.0


@pytest.fixture(scope="module")
def model() -> Separator:
    """The model that comes with the package."""
    return itersep.load(device="cpu")


@pytest.fixture(scope="module")
def passage() -> np.ndarray:
    """Two voices, as far as harmonics in syllables are voices, with a peak of 0.4."""
    time = np.arange(round(SECONDS * RATE)) / RATE
    voices = []
    for pitch_hz, syllables_hz in ((110.0, 3.1), (190.0, 4.3)):
        phase = 2 * np.pi * pitch_hz * (time + 0.004 * np.sin(2 * np.pi * 1.3 * time))
        harmonics = sum(np.sin(k * phase) / k for k in range(1, 20))
        voices.append(harmonics * (0.55 + 0.45 * np.sin(2 * np.pi * syllables_hz * time)))
    mix = sum(voices)
    return (0.4 * mix / np.abs(mix).max()).astype(np.float32)


def agreement_db(est: np.ndarray, expected: np.ndarray) -> float:
    """SI-SDR of estimates (C, T) against others of the same sound, in the order that fits best."""
    est, expected = torch.from_numpy(est), torch.from_numpy(expected)
    return si_sdr_db(est[assign(est, expected)], expected).min().item()


PLACES = {"before": (12, 0), "after": (0, 12)}


@pytest.mark.parametrize("noise_db", [None, -60])
@pytest.mark.parametrize("place", PLACES)
def test_a_pause_changes_no_estimate_of_the_sound(
    model: Separator, passage: np.ndarray, place: str, noise_db: float | None, rng: np.random.Generator
) -> None:
    before, after = (seconds * RATE for seconds in PLACES[place])
    wave = np.zeros(before + len(passage) + after, dtype=np.float32)
    if noise_db is not None:
        wave += (10 ** (noise_db / 20) * rng.standard_normal(len(wave))).astype(np.float32)
    index = np.arange(before, before + len(passage))
    wave[index] += passage
    est = model.separate(wave, RATE)
    assert est.shape == (2, len(wave)) and np.isfinite(est).all()
    assert agreement_db(est[:, index], model.separate(passage, RATE)) > 12
    pause = np.setdiff1d(np.arange(len(wave)), index)[RATE // 2 : -RATE // 2]
    assert np.abs(est[:, pause]).max(initial=0) < 0.02


TIME = np.arange(round(SECONDS * RATE)) / RATE
BELOW = {
    "an offset": np.full(len(TIME), 0.1),
    "a small offset": np.full(len(TIME), -0.02),
    "hum of 50 Hz": 0.05 * np.sin(2 * np.pi * 50 * TIME),
    "hum of 60 Hz": 0.05 * np.sin(2 * np.pi * 60 * TIME + 1),
    "rumble": 0.1 * np.sin(2 * np.pi * 12 * TIME) + 0.1 * np.sin(2 * np.pi * 33 * TIME),
}


@pytest.mark.parametrize("name", BELOW)
def test_what_lies_below_the_voice_changes_no_estimate(model: Separator, passage: np.ndarray, name: str) -> None:
    est = model.separate(passage + BELOW[name].astype(np.float32), RATE)
    assert agreement_db(est, model.separate(passage, RATE)) > 15
    assert np.abs(est.mean(1)).max() < 1e-3


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize(
    ("cutoff_hz", "gone_hz", "kept_hz"), [(OFFSET_HZ, (0,), (50, 300)), (VOICE_HZ, (0, 50), (85, 300))]
)
def test_a_high_pass_takes_the_low_and_leaves_the_rest(
    rate: int, cutoff_hz: float, gone_hz: tuple[float, ...], kept_hz: tuple[float, ...]
) -> None:
    time, inner, high_pass = torch.arange(2 * rate) / rate, slice(rate // 2, -rate // 2), HighPass(cutoff_hz, rate)

    def gain_db(hz: float) -> float:
        tone = torch.cos(2 * torch.pi * hz * time)
        return (20 * torch.log10(high_pass(tone[None])[0, inner].norm() / tone[inner].norm() + 1e-12)).item()

    assert all(gain_db(hz) < -40 for hz in gone_hz)
    assert all(abs(gain_db(hz)) < 0.1 for hz in kept_hz)


def test_hum_goes_where_it_is_strong_and_stays_where_it_is_weak(passage: np.ndarray) -> None:
    ear, voices = Ear(RATE), torch.from_numpy(passage)
    for level, kept in ((0.05, False), (1e-3, True)):
        hum = level * torch.sin(2 * torch.pi * 50 * torch.arange(len(voices)) / RATE)
        left = (ear(voices + hum)[0] - ear(voices)[0])[RATE // 2 : -RATE // 2]
        assert (left.norm() > 0.9 * hum[RATE // 2 : -RATE // 2].norm()) == kept


def test_sound_is_found_whatever_the_length_of_the_pauses() -> None:
    sound = torch.randn(RATE)
    for pause_s in (1, 20):
        pause = torch.zeros(pause_s * RATE)
        for quiet in (pause, pause + 1e-3 * torch.randn(len(pause))):
            found = find_sound(torch.cat([quiet, sound, quiet, sound]), RATE)
            assert found[len(quiet) : len(quiet) + RATE].all() and found[-RATE:].all()
            assert found.sum() < 2 * RATE + 4 * 0.05 * RATE
    assert find_sound(torch.zeros(5000), RATE).all()


def test_stage_3_takes_pauses_out_as_well(model: Separator, passage: np.ndarray) -> None:
    wrapped = SoundOnly(model.network)
    padded = torch.from_numpy(np.r_[np.zeros(6 * RATE, np.float32), passage])[None]
    with torch.inference_mode():
        est, expected = wrapped(padded)[0, :, 6 * RATE :], wrapped(padded[:, 6 * RATE :])[0]
    assert agreement_db(est.numpy(), expected.numpy()) > 10
