"""A model as a tool: what holds at any rate, level and length, and when iterations end."""

import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from torch import Tensor, nn

import itersep
from itersep.score.metrics import si_sdr_db
from itersep.separate.stopping import change_db, iterate_until
from itersep.separate.waves import Separator, packaged_model
from itersep.separate.windows import WindowSpec
from itersep.simulate.mixture import SimulationSpec
from itersep.system.errors import UserError
from itersep.train.checkpoint import save_checkpoint
from itersep.train.config import Experiment

RATE = 8000
CONFIG = {"model": {}}


class Bands(nn.Module):
    """Stands in for a network: its speakers are the sound below and above 1 kHz, in an order of chance a call.

    Each iteration halves what it lacks of them.
    """

    sample_rate, sources, iterations = RATE, 2, 4

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.order = torch.Generator().manual_seed(0)
        self.loudest, self.heard = 0.0, 0

    def iterate(self, mix: Tensor, iterations: int) -> Iterator[list[Tensor]]:
        self.loudest, self.heard = max(self.loudest, float(mix.abs().max())), mix.shape[-1]
        spectrum = torch.fft.rfft(mix)
        low = torch.arange(spectrum.shape[-1]) < 1000 / RATE * mix.shape[-1]
        est = torch.fft.irfft(torch.stack([spectrum * low, spectrum * ~low], dim=1), n=mix.shape[-1])
        est = est[:, torch.randperm(2, generator=self.order)]
        for i in range(iterations):
            yield [est * (1 - 2.0 ** -(i + 1))]


def make(windows: WindowSpec | None = None) -> Separator:
    return Separator(Bands(), CONFIG, windows or WindowSpec())


def sound(seconds: float, rate: int = RATE) -> np.ndarray:
    """Noise in bursts of 0.3 s, below and above 1 kHz in turn."""
    generator = torch.Generator().manual_seed(1)
    samples = torch.randn(2, round(seconds * rate), generator=generator)
    spectrum = torch.fft.rfft(samples)
    hz = torch.arange(spectrum.shape[1]) / seconds
    parts = torch.fft.irfft(
        spectrum * torch.stack([(hz > 100) & (hz < 900), (hz > 1100) & (hz < 3500)]), n=samples.shape[1]
    )
    burst = (torch.arange(samples.shape[1]) / rate % 0.6) < 0.4
    return (0.1 * parts * torch.stack([burst, burst.flip(0)])).sum(0).numpy()


@pytest.mark.parametrize("rate", [4000, 8000, 11025, 16000, 22050, 44100, 44101, 48000])
@pytest.mark.parametrize("length", [2, 999, 20000])
def test_estimates_have_the_rate_and_length_of_the_recording(rate: int, length: int) -> None:
    """And the model hears it at its speed, within half a thousandth."""
    model = make()
    wave = np.random.default_rng(0).standard_normal(length).astype(np.float32)
    est = model.separate(wave, rate)
    assert est.shape == (2, length) and est.dtype == np.float32 and np.isfinite(est).all()
    expected = length * RATE / rate
    assert abs(model.network.heard - expected) < 1 + 5e-4 * expected


@pytest.mark.parametrize("rate", [16000, 44100, 44101])
def test_resampled_there_and_back_is_the_same_sound(rate: int) -> None:
    wave = sound(3.0, rate)
    est = make().separate(wave, rate, iterations=20)
    assert si_sdr_db(torch.from_numpy(est.sum(0)), torch.from_numpy(wave)) > 35


def test_windows_score_as_the_whole_does() -> None:
    wave = sound(20.0)
    whole = torch.from_numpy(make(WindowSpec(30, 2)).separate(wave, RATE))
    for windows in (WindowSpec(2, 0.5), WindowSpec(4, 2)):
        cut = torch.from_numpy(make(windows).separate(wave, RATE))
        assert max(si_sdr_db(cut[order], whole).min() for order in ([0, 1], [1, 0])) > 20


@pytest.mark.parametrize("size", [1000, 7777, 10**9])
def test_a_stream_is_the_whole_whatever_its_blocks(size: int) -> None:
    wave, windows = sound(9.0), WindowSpec(2, 0.5)
    blocks = (wave[start : start + size] for start in range(0, len(wave), size))
    pieces = list(make(windows).stream(blocks, RATE))
    np.testing.assert_array_equal(np.concatenate([p.est for p in pieces], axis=1), make(windows).separate(wave, RATE))
    assert max(p.est.shape[1] for p in pieces) <= 2 * RATE


def test_a_stream_may_be_of_doubles_at_any_rate() -> None:
    """As soundfile.blocks gives them."""
    wave = sound(1.0)
    (whole,) = make().stream([wave], 44100)
    (doubles,) = make().stream([wave.astype(np.float64)], 44100)
    np.testing.assert_array_equal(doubles.est, whole.est)


def test_a_window_longer_than_any_recording_takes_the_recording_whole() -> None:
    """And no more memory than that."""
    wave = sound(2.0)
    np.testing.assert_array_equal(make(WindowSpec(1e12)).separate(wave, RATE), make().separate(wave, RATE))


def test_an_array_may_be_a_view_and_a_rate_a_whole_float() -> None:
    wave = sound(1.0)
    np.testing.assert_array_equal(make().separate(wave[::-1], float(RATE)), make().separate(wave[::-1].copy(), RATE))


@pytest.mark.parametrize("rate", [0, -8000, 0.5, 8000.5, math.nan])
def test_what_is_no_rate_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="whole number of hertz"):
        make().separate(sound(1.0), rate)


@pytest.mark.parametrize("level", [0.01, 30.0])
def test_a_recordings_level_is_that_of_its_estimates(level: float) -> None:
    """The network hears it as loud as the mixtures that it was trained with."""
    wave, model = sound(2.0), make()
    np.testing.assert_allclose(
        model.separate(level * wave, RATE), level * make().separate(wave, RATE), atol=1e-6 * level
    )
    assert model.network.loudest == pytest.approx(SimulationSpec().peak_limit, rel=1e-4)


def test_silence_stays_silence_and_faint_noise_is_not_blown_up() -> None:
    for silence in (np.zeros(1), np.zeros(RATE), np.ones(1)):  # a sample alone is an offset
        est = make().separate(silence, RATE)
        assert est.shape == (2, len(silence)) and not est.any()
    model, noise = make(), 1e-5 * sound(1.0) / np.abs(sound(1.0)).max()
    assert np.abs(model.separate(noise, RATE)).max() <= 2e-5
    assert model.network.loudest < 0.01


def test_an_array_gives_an_array_and_a_tensor_a_tensor() -> None:
    wave = sound(0.5)
    est = make().separate(torch.from_numpy(wave).double(), RATE)
    assert isinstance(est, Tensor)
    np.testing.assert_array_equal(est.numpy(), make().separate(wave.astype(np.float64), RATE))


@pytest.mark.parametrize("wave", [np.zeros((2, 9)), np.zeros(0)])
def test_what_is_no_channel_is_refused(wave: np.ndarray) -> None:
    with pytest.raises(ValueError, match="one channel"):
        make().separate(wave, RATE)


def test_samples_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(UserError, match="not finite"):
        make().separate(np.array([0.0, np.nan]), RATE)


def test_a_model_whose_estimates_are_no_numbers_is_refused() -> None:
    model = make()
    model.network.iterate = lambda mix, _: iter([[mix[:, None].expand(1, 2, -1) * math.nan]])
    with pytest.raises(UserError, match="the model's estimates are not finite"):
        model.separate(sound(0.5), RATE)


def test_iterations_end_where_they_change_less_than_asked() -> None:
    mix = torch.randn(1, 4000)
    estimates = [layers[-1] for layers in Bands().iterate(mix, 8)]
    changes = [change_db(est, before).item() for before, est in zip(estimates, estimates[1:], strict=False)]
    assert changes == sorted(changes, reverse=True)
    for number, change in enumerate(changes, start=2):
        assert iterate_until(Bands(), mix, 8, change + 1e-3)[1] == number
    assert iterate_until(Bands(), mix, 8, -200.0)[1] == iterate_until(Bands(), mix, 8)[1] == 8
    assert iterate_until(Bands(), mix, 1, 100.0)[1] == 1


def test_iterations_end_where_all_mixtures_of_a_batch_change_less_than_asked() -> None:
    mix = torch.randn(2, 1, 100)
    layers = ([mix * torch.tensor([1.0, i])[:, None, None]] for i in (1, 2, 3))  # the second mixture goes on changing
    assert iterate_until(SimpleNamespace(iterate=lambda *_: layers), mix[:, 0], 3, -20.0)[1] == 3


@pytest.mark.parametrize("iterations", [0, -1])
def test_no_iteration_is_refused(iterations: int) -> None:
    for separate in (make().separate, make().stream):  # before the first sample is read
        with pytest.raises(ValueError, match="iterations must be at least 1"):
            separate(sound(0.1), RATE, iterations)
    with pytest.raises(ValueError, match="iterations must be at least 1"):
        iterate_until(Bands(), torch.randn(1, 400), iterations)


def test_none_is_as_many_iterations_as_the_model_was_trained_for() -> None:
    wave = sound(0.5)
    np.testing.assert_array_equal(make().separate(wave, RATE), make().separate(wave, RATE, Bands.iterations))
    assert make().count_iterations() == Bands.iterations


@pytest.mark.parametrize(
    ("iterations", "until_change_db", "said"),
    [
        (4, 20.0, "must be below 0 dB, such as -20, not 20"),
        (4, 0.0, "must be below 0 dB"),
        (4, math.nan, "must be below 0 dB"),
        (2, -20.0, "after 2 at the earliest, and there are no more than 2; ask for 3 or more"),
        (1, -20.0, "no more than 1; ask for 3"),
    ],
)
def test_a_change_that_cannot_end_the_iterations_is_refused(iterations: int, until_change_db: float, said: str) -> None:
    for separate in (make().separate, make().stream):
        with pytest.raises(ValueError, match=said):
            separate(sound(0.1), RATE, iterations, until_change_db)
    model = make()
    model.iterations = iterations
    with pytest.raises(ValueError, match=said):
        model.separate(sound(0.1), RATE, until_change_db=until_change_db)


def test_fewer_iterations_are_the_first_of_more() -> None:
    mix = torch.randn(1, 4000)
    est, used = iterate_until(Bands(), mix, 8, -15.0)
    torch.testing.assert_close(est, iterate_until(Bands(), mix, used)[0])


def test_the_change_is_that_of_all_speakers_together_and_blind_to_scale() -> None:
    before, est = torch.randn(3, 2, 1000), torch.randn(3, 2, 1000)
    assert change_db(est, est).tolist() == [-math.inf] * 3
    torch.testing.assert_close(change_db(7 * est, 7 * before), change_db(est, before))
    torch.testing.assert_close(
        change_db(est, 0.9 * est), torch.full((3,), -20.0, dtype=torch.float64), rtol=1e-5, atol=0
    )
    silent = torch.stack([est[:, 0], torch.zeros(3, 1000)], dim=1)
    torch.testing.assert_close(
        change_db(silent, 0.9 * silent), torch.full((3,), -20.0, dtype=torch.float64), rtol=1e-5, atol=0
    )


def test_a_checkpoint_a_folder_and_a_published_folder_load_alike(
    experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    from itersep.share.hub import PretrainedModel

    built = experiment()
    save_checkpoint(tmp_path / "exp" / "best.pt", {"config": built.config, "model": built.model.state_dict()})
    PretrainedModel(built.model, built.config, "a card").save_pretrained(tmp_path / "published")
    wave = sound(0.3)
    places = [tmp_path / "exp", tmp_path / "exp" / "best.pt", tmp_path / "published"]
    one, *others = (itersep.load(place, device="cpu").separate(wave, RATE) for place in places)
    assert np.abs(one).max() > 0
    for other in others:
        np.testing.assert_array_equal(one, other)


def test_the_packaged_model_is_a_folder_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("itersep.separate.waves.PRETRAINED", tmp_path)
    with pytest.raises(UserError, match="no trained model comes with"):
        itersep.load()
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "config.json").write_text("{}")
    assert packaged_model() == tmp_path / "small"


@pytest.fixture
def asked_of_hub(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that were looked for on a Hub, which has none of them."""
    asked: list[str] = []

    def download(name: str, **_: object) -> str:
        asked.append(name)
        raise LocalEntryNotFoundError(name)

    monkeypatch.setattr("itersep.share.hub.snapshot_download", download)
    return asked


@pytest.mark.parametrize(
    "name",
    ["nowhere", "exp/freqq", "./no/where", "./nowhere", "../nowhere", "no/where/at/all", "/no/where", "/nowhere"],
)
def test_a_path_that_is_not_there_is_named_and_not_looked_for_elsewhere(name: str, asked_of_hub: list[str]) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(name)}: no such folder; name an experiment"):
        itersep.load(name)
    assert asked_of_hub == []


def test_a_name_that_the_hub_lacks_may_have_been_a_folder(asked_of_hub: list[str]) -> None:
    with pytest.raises(UserError, match="^me/model: there is no such folder, and it cannot be fetched from the Hub"):
        itersep.load("me/model")
    assert asked_of_hub == ["me/model"]


def test_importing_the_package_does_not_load_torch() -> None:
    code = "import sys, itersep; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(itersep.__file__).parent.parent)
