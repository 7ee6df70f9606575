"""Windows of a recording: cut, put in order and joined as if there had been none."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from itersep.losses.sdr import si_sdr
from itersep.separate.windows import Stitcher, Voices, WindowSpec, cut_windows

RATE = 8000


def talk(generator: torch.Generator, seconds: float, colour: float) -> Tensor:
    """Noise with syllables, its spectrum tilted by ``colour``: low voices have it near 1, high ones near -1."""
    white = torch.randn(round(seconds * RATE), generator=generator)
    tilted = white[1:] + colour * white[:-1]
    time = torch.arange(len(tilted)) / RATE
    return torch.cat([tilted[:1], tilted]) * torch.cat([time.new_zeros(1), (9 * time).sin().abs()]) * 0.1


def dialogue(generator: torch.Generator, seconds: float, pause_s: float) -> Tensor:
    """Two speakers (2, T) who talk at once, and both pause for ``pause_s`` in every ten seconds."""
    ref = torch.stack([talk(generator, seconds, 0.8), talk(generator, seconds, -0.8)])
    time = torch.arange(ref.shape[1]) / RATE % 10
    return ref * (time < 10 - pause_s) + 1e-4 * torch.randn(ref.shape, generator=generator)


def stitch(est: Tensor, length: int, overlap: int, rate: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Estimates (C, T) in windows, each in an order of chance, joined; and those of the first window's order."""
    stitcher, first, joined = Stitcher(overlap, rate), None, []
    for window, last in cut_windows([np.arange(est.shape[1], dtype=np.float64)], length, overlap):
        order = torch.randperm(len(est), generator=generator)
        first = order if first is None else first
        joined.append(stitcher.join(est[order][:, int(window[0]) : int(window[-1]) + 1], last))
    return torch.cat(joined, dim=1), est[first]


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_voices_are_the_mel_spectra_of_torchaudio(rate: int) -> None:
    transforms = pytest.importorskip("torchaudio.transforms")
    frame, highest = round(0.032 * rate), min(8000.0, rate / 2)
    mel = transforms.MelSpectrogram(rate, frame, f_max=highest, n_mels=40, pad_mode="constant", norm="slaney")
    est = torch.randn(2, rate)
    torch.testing.assert_close(Voices(rate).measure(est), mel(est).mean(-1), rtol=1e-4, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 300), st.integers(2, 40), st.data())
def test_windows_cover_everything_and_share_the_overlap(total: int, length: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(1, length // 2))
    ends = sorted(data.draw(st.lists(st.integers(0, total), max_size=5)))
    blocks = np.split(np.arange(total, dtype=np.float32), ends)
    windows = list(cut_windows(blocks, length, overlap))
    assert [last for _, last in windows] == [False] * (len(windows) - 1) + [True]
    assert [int(w[0]) for w, _ in windows] == [k * (length - overlap) for k in range(len(windows))]
    assert all(len(w) == length for w, last in windows if not last) and windows[-1][0][-1] == total - 1
    assert len(windows) == 1 or len(windows[-1][0]) > overlap
    assert all(np.array_equal(w, np.arange(w[0], w[-1] + 1)) for w, _ in windows)


@pytest.mark.parametrize("sources", [1, 2, 3])
def test_equal_estimates_are_rebuilt_exactly_whatever_their_order(sources: int) -> None:
    generator = torch.Generator().manual_seed(0)
    est = torch.randn(sources, 10 * RATE, generator=generator)
    joined, expected = stitch(est, 2 * RATE, RATE // 2, RATE, generator)
    assert torch.equal(joined, expected)


def test_the_voices_decide_where_both_pause_for_longer_than_the_overlap() -> None:
    generator = torch.Generator().manual_seed(1)
    est = dialogue(generator, 120.0, pause_s=4.0)
    joined, expected = stitch(est, 8 * RATE, RATE, RATE, generator)
    assert torch.equal(joined, expected)


def test_without_voices_such_pauses_swap_speakers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("itersep.separate.windows.VOICE_WEIGHT", 0.0)
    generator = torch.Generator().manual_seed(1)
    est = dialogue(generator, 120.0, pause_s=4.0)
    quiet = est.clone()  # what is left of a pause differs between two windows, as a network's does
    quiet[:, est.abs().amax(0) < 1e-3] = 0
    joined, expected = stitch(quiet, 8 * RATE, RATE, RATE, generator)
    assert not torch.equal(joined, expected)


def test_levels_say_nothing_of_who_speaks() -> None:
    generator = torch.Generator().manual_seed(2)
    est = dialogue(generator, 55.0, pause_s=4.0)
    est[:, est.shape[1] // 2 :] *= torch.tensor([[0.5], [2.0]])  # they change places around the microphone
    joined, expected = stitch(est, 8 * RATE, RATE, RATE, generator)
    assert torch.equal(joined, expected)


def test_the_level_of_a_recording_says_nothing_of_who_speaks() -> None:
    head, tail, est = torch.randn(3, 2, RATE)
    matches = []
    for level in (1.0, 1e-3):
        stitcher = Stitcher(RATE, RATE)
        stitcher.voices.add(stitcher.voices.measure(level * est), level * est)
        matches.append(stitcher.match(level * head, level * tail, stitcher.voices.measure(level * head)))
    torch.testing.assert_close(*matches, rtol=1e-3, atol=1e-4)


def test_what_all_voices_have_in_common_says_nothing_of_who_speaks() -> None:
    own = torch.tensor([[1.0], [-1.0]]) * torch.arange(40).sin()
    spectra = (torch.linspace(0, 6, 40) + own).exp()
    voices = Voices(RATE)
    voices.add(spectra, torch.ones(2, 100))
    found = voices.compare(spectra)
    assert found.diagonal().min() > 0 > found.flip(0).diagonal().max()


def test_windows_that_differ_are_faded_without_a_click() -> None:
    time = torch.arange(10 * RATE) / RATE
    tone = (2 * torch.pi * 100 * time).sin()
    stitcher, joined = Stitcher(RATE, RATE), []
    for k, (window, last) in enumerate(cut_windows([np.arange(len(tone), dtype=np.float64)], 4 * RATE, RATE)):
        cut = tone[int(window[0]) : int(window[-1]) + 1]
        joined.append(stitcher.join(torch.stack([cut * (1 + k % 2), cut * 0]), last))
    steps = torch.cat(joined, dim=1)[0].diff().abs().max()
    assert steps < 1.01 * 2 * tone.diff().abs().max()  # twice the tone is the steepest of what was joined


@pytest.mark.parametrize("spoken", [(0, 0), (1, 0)])
def test_silence_is_joined_to_silence(spoken: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(3)
    est = torch.randn(2, 5 * RATE, generator=generator) * torch.tensor(spoken)[:, None]
    joined, expected = stitch(est, RATE, RATE // 4, RATE, generator)
    assert torch.equal(joined, expected)


def test_windows_share_half_of_their_length_where_nothing_else_is_said() -> None:
    assert WindowSpec().samples(1000) == (8000, 4000) and WindowSpec(2.0).samples(1000) == (2000, 1000)


@pytest.mark.parametrize(("length_s", "overlap_s"), [(4.0, 0.0), (4.0, 2.5), (4.0, -1.0)])
def test_windows_that_cannot_be_are_refused(length_s: float, overlap_s: float) -> None:
    with pytest.raises(ValueError, match="cannot overlap"):
        WindowSpec(length_s, overlap_s)
    with pytest.raises(ValueError, match="1e-09 s are too short"):
        WindowSpec(1e-9, 5e-10)


def test_real_speakers_keep_their_places_through_pauses(shared: Path) -> None:
    """Estimates of ten pairs: each window leaks as it likes, in an order of chance, and scores as the whole does."""
    generator = torch.Generator().manual_seed(0)
    length, overlap = WindowSpec().samples(16000)
    for est, ref in real_dialogues(shared, generator):
        assert torch.equal(*stitch(est, length, overlap, 16000, generator))
        stitcher, joined = Stitcher(overlap, 16000), []
        for window, last in cut_windows([np.arange(ref.shape[1], dtype=np.float64)], length, overlap):
            leak = 0.19 + 0.02 * torch.rand(1, generator=generator)
            cut = est[:, int(window[0]) : int(window[-1]) + 1]
            cut = (cut + (leak - 0.2) * cut.flip(0))[torch.randperm(2, generator=generator)]
            joined.append(stitcher.join(cut, last))
        score = [max(si_sdr(x[order], ref).mean() for order in ([0, 1], [1, 0])) for x in (est, torch.cat(joined, 1))]
        assert abs(score[0] - score[1]) < 0.3


def real_dialogues(shared: Path, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Estimates and references (2, T) of 70 s: speakers of test-other who talk at once or in turn, and both pause."""
    folders = sorted(path for path in (shared / "data/LibriSpeech/test-other").iterdir() if path.is_dir())
    speech = {}
    for folder in folders:
        clips = [torch.from_numpy(soundfile.read(f, dtype="float32")[0]) for f in sorted(folder.rglob("*.flac"))]
        signal = torch.cat(clips)[: 70 * 16000]
        speech[folder.name] = torch.nn.functional.pad(signal, (0, 70 * 16000 - len(signal))) / signal.std() * 0.05
    names = list(speech)
    time = torch.arange(70 * 16000) / 16000
    for k in range(10):
        ref = torch.stack([speech[names[k]], speech[names[(k + 3) % 10]]])
        both = ((time + k) % 13) > 4.5  # else both pause, for longer than an overlap
        turns = torch.stack([(time + k) % 7 < 5, (time + 2 * k) % 5 < 3.5])
        ref = ref * (both & turns)
        noise = 0.003 * torch.randn(ref.shape, generator=generator)
        yield torch.tensor([[1.0, 0.2], [0.2, 1.0]]) @ ref + noise, ref
