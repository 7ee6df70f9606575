"""Metrics of other packages: values on signals that are known, and no number where there is none."""

import math
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from itersep.score.metrics import sdr_db
from itersep.score.optional import dnsmos, pesq, sir_sar_db, stoi
from itersep.score.registry import METRICS, Signals, choose_metrics, evaluate
from itersep.system.errors import UserError

RATE = 16000


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(package) is None, reason=f"needs {package}")


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    """2 s of a glottal tone through syllables and pauses: enough like speech for a voice detector."""
    time = np.arange(2 * RATE) / RATE
    phase = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * time)) / RATE
    tone = sum(np.sin(k * phase) / k for k in range(1, 20))
    return 0.2 * tone * np.maximum(np.sin(2 * np.pi * 2 * time), 0.02)


def noisy(voice: np.ndarray, level: float) -> np.ndarray:
    return voice + level * np.random.default_rng(0).standard_normal(voice.shape)


@needs("pystoi")
def test_stoi_falls_with_noise_from_1(voice: np.ndarray) -> None:
    for extended in (False, True):
        scores = [stoi(noisy(voice, level), voice, RATE, extended=extended) for level in (0.0, 0.01, 0.1)]
        assert scores[0] == pytest.approx(1.0) and scores[0] > scores[1] > scores[2]


@needs("pystoi")
def test_stoi_is_blind_to_level(voice: np.ndarray) -> None:
    assert stoi(30 * noisy(voice, 0.05), voice, RATE) == pytest.approx(stoi(noisy(voice, 0.05), voice, RATE), abs=1e-6)


@needs("pystoi")
@pytest.mark.parametrize("length", [100, 3000])
def test_stoi_of_too_little_speech_is_undefined(voice: np.ndarray, length: int) -> None:
    assert "30 frames" in stoi(voice[:length], voice[:length], RATE)


@needs("pesq")
def test_pesq_of_itself_is_the_best_there_is(voice: np.ndarray) -> None:
    assert pesq(voice, voice, RATE) == pytest.approx(4.644, abs=1e-3)
    assert pesq(voice, voice, 8000) == pytest.approx(4.549, abs=1e-3)
    assert pesq(noisy(voice, 0.05), voice, RATE) < 3


@needs("pesq")
def test_pesq_is_undefined_where_the_standard_is(voice: np.ndarray) -> None:
    assert "0.25 s" in pesq(voice[:3000], voice[:3000], RATE)
    assert "44100 Hz" in pesq(voice, voice, 44100)
    assert "no utterance" in pesq(voice, np.zeros_like(voice), RATE)


@needs("librosa")
def test_dnsmos_hears_noise(voice: np.ndarray) -> None:
    clean, loud = (dnsmos(noisy(voice, level), RATE)["bak_mos"] for level in (0.0, 0.1))
    assert 1 <= loud < clean <= 5


@needs("librosa")
def test_dnsmos_is_undefined_beyond_full_scale_and_at_other_rates(voice: np.ndarray) -> None:
    assert "full scale" in dnsmos(10 * voice, RATE)
    assert "8000 Hz" in dnsmos(voice, 8000)


@pytest.mark.parametrize(
    ("score", "package"), [(stoi, "pystoi"), (pesq, "pesq"), (lambda est, _, rate: dnsmos(est, rate), "librosa")]
)
def test_a_silent_estimate_has_no_score(voice: np.ndarray, score: Callable, package: str) -> None:
    if find_spec(package) is None:
        pytest.skip(f"needs {package}")
    assert score(np.zeros_like(voice), voice, RATE) == "the estimate is silent"


@needs("fast_bss_eval")
def test_sir_and_sar_tell_the_other_voice_from_noise(rng: np.random.Generator) -> None:
    ref = torch.from_numpy(rng.standard_normal((2, 8000)))
    noise = torch.from_numpy(rng.standard_normal((2, 8000)))
    sir, sar = sir_sar_db(ref + 0.1 * ref.flip(0), ref)
    assert sir == pytest.approx([20, 20], abs=1) and sar.min() > 100
    sir, sar = sir_sar_db(ref + 0.1 * noise, ref)
    assert sir.min() > 25 and sar == pytest.approx([20, 20], abs=1)


@needs("fast_bss_eval")
def test_sdr_is_the_sum_of_interference_and_artefacts(rng: np.random.Generator) -> None:
    ref = torch.from_numpy(rng.standard_normal((2, 8000)))
    est = ref + 0.2 * ref.flip(0) + 0.1 * torch.from_numpy(rng.standard_normal((2, 8000)))
    sir, sar = (10 ** (-ratio / 10) for ratio in sir_sar_db(est, ref))
    assert (-10 * torch.log10(sir + sar * (1 + sir))).numpy() == pytest.approx(sdr_db(est, ref).numpy(), abs=0.01)


@needs("fast_bss_eval")
def test_sir_is_undefined_alone_silent_short_and_for_equal_references(rng: np.random.Generator) -> None:
    ref = torch.from_numpy(rng.standard_normal((2, 8000)))
    assert "alone" in sir_sar_db(ref[:1], ref[:1])
    assert "silent" in sir_sar_db(ref * torch.tensor([[1.0], [0.0]]), ref)
    assert "shorter" in sir_sar_db(ref[:, :1000], ref[:, :1000])
    assert "dependent" in sir_sar_db(ref, ref[:1].repeat(2, 1))


@needs("fast_bss_eval")
def test_the_silent_speaker_of_three_is_left_out_of_sir(rng: np.random.Generator) -> None:
    ref = torch.from_numpy(rng.standard_normal((3, 8000)))
    est = ref + 0.1 * ref.roll(1, 0)
    ref[1] = 0
    active = torch.tensor([True, False, True])
    values = METRICS["sir_db"].compute(Signals(ref.sum(0), ref, est, None, RATE)).tolist()
    assert math.isnan(values[1])
    assert [values[0], values[2]] == sir_sar_db(est[active], ref[active])[0].tolist()


def test_metrics_are_chosen_by_name_and_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    standard = [metric.name for metric in choose_metrics()]
    assert "si_sdr_db" in standard and not {"stoi", "pesq", "sir_db"} & set(standard)
    with pytest.raises(UserError, match="'stoy' is not a metric; choose from si_sdr_db, .*stoi"):
        choose_metrics(["stoy"])
    monkeypatch.setattr("itersep.score.registry.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pesq needs the package pesq; pip install 'itersep\[pesq\]'"):
        choose_metrics(["pesq"])


@needs("pystoi")
def test_an_undefined_value_is_kept_as_its_reason(voice: np.ndarray) -> None:
    ref = torch.from_numpy(np.stack([voice, voice[::-1].copy()]))
    est = ref * torch.tensor([[1.0], [0.0]])
    first, second = evaluate(Signals(ref.sum(0), ref, est, None, RATE), 1, [METRICS["stoi"]])
    assert first.values["stoi"] == pytest.approx(1.0) and first.reasons == {}
    assert second == ({}, {"stoi": "the estimate is silent"})


@needs("librosa")
def test_dnsmos_is_computed_once_a_mixture_and_for_active_speakers_alone(
    voice: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = []
    monkeypatch.setattr(
        "itersep.score.registry.dnsmos",
        lambda est, rate: heard.append(est) or {"sig_mos": 1.0, "bak_mos": 2.0, "ovrl_mos": 3.0},
    )
    ref = torch.from_numpy(np.stack([voice, np.zeros_like(voice)]))
    names = ["dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl"]
    signals = Signals(ref[0] + 1e-3, ref, ref + 1e-3, None, RATE)
    first, second = evaluate(signals, 1, [METRICS[name] for name in names])
    assert first == (dict(zip(names, (1.0, 2.0, 3.0), strict=True)), {}) and second == ({}, {})
    assert len(heard) == 1
