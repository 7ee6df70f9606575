from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from itersep.models.filterbank import STFT, FilterbankSpec, make_filterbank

FREQ = FilterbankSpec("stft", filters=257, window=512, hop=256)


@settings(deadline=None, max_examples=30)
@given(length=st.integers(1, 2000), hop=st.sampled_from([64, 128, 256]), filters=st.sampled_from([257, 400]))
def test_stft_inverts_at_any_length(length: int, hop: int, filters: int) -> None:
    bank = make_filterbank(FilterbankSpec("stft", filters, 512, hop))
    wave = torch.randn(2, 3, length)
    encoded = bank.encode(wave)
    assert encoded.shape[:-1] == (2, 3, 2, filters)
    torch.testing.assert_close(bank.decode(encoded, length), wave, atol=1e-5, rtol=0)


def test_stft_is_torchs() -> None:
    wave = torch.randn(1, 2048)
    theirs = torch.stft(wave, 512, 256, window=torch.hann_window(512), center=False, return_complex=True)
    ours = STFT(FREQ).encode(wave)[..., 1:-1]  # without the frames that reach into the padding
    torch.testing.assert_close(torch.complex(ours[:, 0], ours[:, 1]), theirs, atol=1e-4, rtol=1e-4)


def test_stft_features_are_magnitudes_and_silence_has_a_finite_gradient() -> None:
    bank = make_filterbank(FREQ)
    wave = torch.cat([torch.randn(1, 1000), torch.zeros(1, 3000)], dim=1).requires_grad_()
    encoded = bank.encode(wave)
    features = bank.features(encoded)
    magnitudes = torch.complex(encoded[:, 0], encoded[:, 1]).abs()
    torch.testing.assert_close(features, magnitudes, atol=1e-5, rtol=1e-4)
    features.sum().backward()
    assert wave.grad.isfinite().all()


def test_complex_features_are_both_parts_and_magnitudes() -> None:
    spec = replace(FREQ, features="complex")
    wave = torch.randn(2, 3, 1000)
    encoded = make_filterbank(FREQ).encode(wave)
    re, im, magnitude = make_filterbank(spec).features(encoded).split(257, dim=-2)
    torch.testing.assert_close(torch.stack([re, im], dim=-3), encoded, rtol=0, atol=0)
    torch.testing.assert_close(magnitude, make_filterbank(FREQ).features(encoded), rtol=0, atol=0)
    assert (spec.inputs, FREQ.inputs) == (3 * 257, 257)


@pytest.mark.parametrize("spec", [FilterbankSpec(), FREQ], ids=["learned", "stft"])
def test_autocast_leaves_the_filterbank_alone(spec: FilterbankSpec) -> None:
    bank, wave = make_filterbank(spec), torch.randn(1, 1000)
    encoded = bank.encode(wave)
    decoded = bank.decode(encoded, 1000)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(bank.encode(wave), encoded, rtol=0, atol=0)
        torch.testing.assert_close(bank.decode(encoded, 1000), decoded, rtol=0, atol=0)


def test_learned_filters_start_as_those_of_a_convolution() -> None:
    bank, convolution = make_filterbank(FilterbankSpec()), nn.Conv1d(1, 128, 32)
    for filters in (bank.analysis, bank.synthesis):
        torch.testing.assert_close(filters.abs().max(), convolution.weight.abs().max(), rtol=0.01, atol=0)
        torch.testing.assert_close(filters.std(), convolution.weight.std(), rtol=0.05, atol=0)


@pytest.mark.parametrize("length", [1, 15, 16, 17, 1000])
def test_learned_filterbank_keeps_the_length_and_is_linear(length: int) -> None:
    bank = make_filterbank(FilterbankSpec())
    one, two = torch.randn(2, 1, length)
    coded = bank.encode(2 * one - two)
    torch.testing.assert_close(coded, 2 * bank.encode(one) - bank.encode(two), atol=1e-5, rtol=1e-5)
    assert bank.decode(coded, length).shape == (1, length)
    assert coded.shape == (1, 1, 128, -(-(length + 16) // 16))


def test_encoder_is_the_convolution_of_the_padded_signal() -> None:
    bank = make_filterbank(FilterbankSpec(filters=3, window=4, hop=2))
    wave = torch.arange(1.0, 6.0)  # 5 samples, with 2 zeros before and 3 after: 4 frames
    padded = torch.tensor([0.0, 0, 1, 2, 3, 4, 5, 0, 0, 0])
    frames = padded.unfold(0, 4, 2)
    torch.testing.assert_close(bank.encode(wave)[0], bank.analysis[:, 0] @ frames.T)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"hop": 33}, "filterbank.hop"),
        ({"hop": 0}, "filterbank.hop"),
        ({"filters": 0}, "filterbank.filters"),
        ({"features": "complex"}, "filterbank.features"),
        ({"kind": "stft", "filters": 128, "window": 512, "hop": 256}, "filterbank.filters"),
        ({"kind": "stft", "filters": 257, "window": 512, "hop": 200}, "filterbank.hop"),
        ({"kind": "stft", "filters": 257, "window": 512, "hop": 512}, "filterbank.hop"),  # Hann windows end at zero
    ],
)
def test_impossible_filterbanks_are_refused_by_name(options: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        FilterbankSpec(**options)
