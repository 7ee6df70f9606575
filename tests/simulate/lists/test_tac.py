"""The paper's lists: what is read from them, and every signal against the published procedure, done step by step."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from itersep.data.datadir import read_table, write_table
from itersep.simulate.lists.tac import import_list, read_list
from itersep.simulate.mixture import SimulationSpec, load_clips, render_mixture
from itersep.simulate.rir import simulate_rir
from itersep.system.errors import UserError

SPEC = SimulationSpec()
LSB = 1 / 32768
LISTS = "data/tac/MC_Libri_fixed_test.pkl"


def procedure(entry, speech, noise, rirs, mic=0, peak=None):
    """An entry of a list by the published procedure, in float64: (2, T) speakers and (T,) noise, before any limit.

    ``speech`` and ``noise`` find a file's samples by its name in the list; ``rirs`` makes the responses.
    """
    fs, seconds = 16000, 4
    actual_len = int(seconds / (2 - entry["overlap_ratio"]) * fs)
    spk1, spk2 = (speech(name)[entry["start_idx"] :][:actual_len] for name in entry["speech"])
    spk1 = spk1 / np.sqrt(np.sum(spk1**2)) * 1e2
    spk2 = spk2 / np.sqrt(np.sum(spk2**2)) * 1e2 * 10 ** (entry["spk_snr"] / 20)
    samples = noise(entry["noise"])[: seconds * fs]
    while len(samples) < seconds * fs:
        samples = np.concatenate([samples, noise(entry["noise"])])
    samples = samples[: seconds * fs]
    wanted = np.sum((spk1 + spk2) ** 2) / 10 ** (entry["noise_snr"] / 10)
    samples = samples * np.sqrt(wanted / np.sum(samples**2))
    positions = [*entry["spk_pos"], *entry["noise_pos"]]
    spk1, spk2, samples = (
        np.convolve(signal, rirs(entry["room_size"], entry["RT60"], position, entry["mic_pos"][mic]))
        for signal, position in zip((spk1, spk2, samples), positions, strict=True)
    )
    zeros = np.zeros(int((1 - entry["overlap_ratio"]) * actual_len))
    signals = [np.concatenate([spk1, zeros]), np.concatenate([zeros, spk2]), samples]
    signals = np.stack([np.pad(signal, (0, seconds * fs))[: seconds * fs] for signal in signals])
    if peak is not None:
        signals = signals / max(np.abs(signals).max(), np.abs(signals.sum(axis=0)).max()) * peak
    return signals[:2], signals[2]


def by_engine(room_m, t60_s, source_m, mic_m):
    """A response by the engine that renders."""
    return simulate_rir(room_m, t60_s, [source_m], [mic_m], 16000)[0, 0].astype(float)


def by_formulas(room_m, t60_s, source_m, mic_m):
    """A response in float64 by its definition, image by image."""
    volume, area = np.prod(room_m), 2 * (room_m[0] * room_m[1] + room_m[1] * room_m[2] + room_m[0] * room_m[2])
    beta = np.sqrt(max(0.0, 1.0 - 0.161 * volume / (area * t60_s)))
    n = int(np.ceil(t60_s * 16000))
    n += n % 2
    t, rir = np.arange(n), np.zeros(n)
    axes = []
    for edge, source, mic in zip(room_m, source_m, mic_m, strict=True):
        count = int(np.ceil(2 * t60_s * 343 / edge))
        axes.append([])
        for i in range(-(count // 2), count - count // 2):
            q, f = int(np.ceil(i / 2)), abs(i) % 2
            axes[-1].append((2 * q * edge + (1 - 2 * f) * source - mic, (-beta) ** abs(i)))
    for x, x_gain in axes[0]:
        for y, y_gain in axes[1]:
            for z, z_gain in axes[2]:
                distance = np.sqrt(x * x + y * y + z * z)
                first = max(0, int(distance * 16000 / 343) - 65)
                late = t[first : first + 131] - distance * 16000 / 343
                window = np.where(np.abs(late) < 64, 0.5 * (1 + np.cos(2 * np.pi * late / 128)), 0.0)
                gain = x_gain * y_gain * z_gain / (4 * np.pi * distance)
                rir[first : first + 131] += gain * np.sinc(late) * window
    return rir


def samples_of(data_dir: Path):
    """The samples of a file of a list, from a data directory."""
    paths = read_table(data_dir / "wav.scp")
    return lambda name: soundfile.read(paths[Path(name).stem])[0]


def read_file(corpus: Path, name: str) -> np.ndarray:
    """The samples of a file of a list, from the corpus."""
    return soundfile.read(corpus / name)[0]


def load(corpus):
    return load_clips(corpus.speech, 16000), load_clips(corpus.noise, 16000)


def import_entries(corpus, tmp_path, entries=None, **options):
    clips = load(corpus)
    return import_list(
        corpus.write(tmp_path / "list.pkl", entries), SPEC, "test_2mix", *clips, **options
    ).mixtures, clips


def check(rendered, ref, noise, tolerance=0.6 * LSB):
    """Every sample, before the limit to the peak; the mixture is the sum of its parts."""
    np.testing.assert_allclose(rendered.ref, rendered.gain * ref, atol=tolerance)
    np.testing.assert_allclose(rendered.noise, rendered.gain * noise, atol=tolerance)
    np.testing.assert_allclose(rendered.mix, rendered.gain * (ref.sum(axis=0) + noise), atol=3 * tolerance)
    peak = max(np.abs(ref).max(), np.abs(noise).max(), np.abs(ref.sum(axis=0) + noise).max())
    assert rendered.gain == pytest.approx(min(1.0, 0.9 / peak), rel=1e-4)


def test_every_mixture_of_a_list_equals_the_published_procedure(tac_corpus, tmp_path):
    mixtures, clips = import_entries(tac_corpus, tmp_path)
    assert [mixture.id for mixture in mixtures] == [f"test_2mix-{index:06d}" for index in range(4)]
    assert [mixture.direct_only for mixture in mixtures] == [False, False, False, True]
    sources = samples_of(tac_corpus.speech), samples_of(tac_corpus.noise)
    for mixture, entry in zip(mixtures, tac_corpus.entries, strict=True):
        check(render_mixture(mixture, *clips), *procedure(entry, *sources, by_engine))


def test_a_mixture_equals_the_procedure_with_responses_by_their_formulas(tac_corpus, tmp_path):
    entry = tac_corpus.entries[0]
    mixtures, clips = import_entries(tac_corpus, tmp_path, [entry])
    ref, noise = procedure(entry, samples_of(tac_corpus.speech), samples_of(tac_corpus.noise), by_formulas)
    rendered = render_mixture(mixtures[0], *clips)
    for ours, exact in zip((*rendered.ref, rendered.noise), (*ref, noise), strict=True):
        error = ours - rendered.gain * exact
        allowed = 1.5e-3 * np.linalg.norm(rendered.gain * exact) + LSB * np.sqrt(len(exact))  # the engine, the 16 bits
        assert np.linalg.norm(error) < allowed


@pytest.mark.parametrize("microphone", [1, 2, 3])
def test_adhoc_lists_and_any_microphone(tac_corpus, tmp_path, microphone):
    adhoc = []
    for entry in tac_corpus.entries[:2]:
        adhoc.append({**entry, "mic_pos": entry["mic_pos"][:3], "num_mic": 3})
        del adhoc[-1]["spk_angle"]
    mixtures, clips = import_entries(tac_corpus, tmp_path, adhoc, microphone=microphone)
    sources = samples_of(tac_corpus.speech), samples_of(tac_corpus.noise)
    expected = procedure(adhoc[0], *sources, by_engine, mic=microphone - 1)
    check(render_mixture(mixtures[0], *clips), *expected)


def test_the_published_scaling_can_be_had(tac_corpus, tmp_path):
    """Every mixture divided by the joint peak of all its signals, times 0.9."""
    path = tac_corpus.write(tmp_path / "list.pkl")
    clips = load(tac_corpus)
    mixtures = import_list(path, replace(SPEC, scale_to_peak=True), "s", *clips).mixtures
    sources = samples_of(tac_corpus.speech), samples_of(tac_corpus.noise)
    for mixture, entry in zip(mixtures[:2], tac_corpus.entries, strict=False):
        rendered = render_mixture(mixture, *clips)
        ref, noise = procedure(entry, *sources, by_engine, peak=0.9)
        np.testing.assert_allclose(rendered.ref, ref, atol=0.6 * LSB)
        np.testing.assert_allclose(rendered.noise, noise, atol=0.6 * LSB)


def test_real_mixtures_equal_the_published_procedure(shared, tmp_path):
    """A few of those mixtures of the paper's test set whose files are at hand."""
    noise_dir, speech_dir = shared / "data/Nonspeech", shared / "data/LibriSpeech"
    listed = read_list(shared / LISTS, SPEC, "test")
    assert len(listed) == 3000
    here = [item for item in listed if all((speech_dir / file).exists() for file in item.files[:2])]
    here = [item for item in here if (noise_dir / item.files[2]).exists()]
    assert len(here) == 210
    speech = RawFiles({item.mixture.speakers[c].utt: speech_dir / item.files[c] for item in here for c in (0, 1)})
    noise = RawFiles({item.mixture.noise.utt: noise_dir / item.files[2] for item in here})
    for item in here[:3]:
        mixture = item.mixture
        entry = {
            "overlap_ratio": mixture.overlap,
            "start_idx": mixture.speakers[0].start,
            "speech": item.files[:2],
            "noise": item.files[2],
            "spk_snr": mixture.speakers[1].level_db,
            "noise_snr": mixture.noise.snr_db,
            "spk_pos": [speaker.position_m for speaker in mixture.speakers],
            "noise_pos": [mixture.noise.position_m],
            "room_size": mixture.room_m,
            "RT60": mixture.t60_s,
            "mic_pos": [mixture.mic_m],
        }
        sources = (partial(read_file, speech_dir), partial(read_file, noise_dir))
        check(render_mixture(mixture, speech, noise), *procedure(entry, *sources, by_engine))


class RawFiles:
    """Clips straight from a corpus; sample rates are not looked at, as in the published procedure."""

    sample_rate, data_dir = 16000, "corpus"

    def __init__(self, paths):
        self.paths = paths

    def read(self, utt, start, length):
        return soundfile.read(self.paths[utt], start=start, frames=length, dtype="float32")[0]


def test_cuts_of_the_published_list_are_as_published(shared):
    """int(4 / (2 - overlap) * fs), whatever the order of multiplication and division; and all cuts are whole."""
    for item in read_list(shared / LISTS, SPEC, "test"):
        overlap = item.mixture.overlap
        assert item.mixture.cut_length == int(4 / (2 - overlap) * 16000)
        assert item.mixture.delays == [0, int((1 - overlap) * item.mixture.cut_length)]


# What is missing, and what is wrong


def test_missing_files_stop_or_leave_out_their_mixtures(tac_corpus, tmp_path):
    for data_dir, utt in ((tac_corpus.speech, "3-7-0001"), (tac_corpus.noise, "n1")):
        for name in ("wav.scp", "utt2spk", "utt2dur"):
            table = read_table(data_dir / name)
            del table[utt]
            write_table(data_dir / name, table)
    with pytest.raises(UserError, match=r"3 of 4 mixtures need missing files \(2: n1.wav, test-clean/3/7/3-7-0001"):
        import_entries(tac_corpus, tmp_path)
    path = tac_corpus.write(tmp_path / "list.pkl")
    selection = import_list(path, SPEC, "s", *load(tac_corpus), allow_missing=True)
    assert [mixture.id for mixture in selection.mixtures] == ["s-000003"]
    assert (selection.left_out, selection.missing) == (3, {"n1.wav": 2, "test-clean/3/7/3-7-0001.flac": 2})
    with pytest.raises(UserError, match="3 of 3 mixtures need .* prepare the whole corpora$"):
        import_entries(tac_corpus, tmp_path, tac_corpus.entries[:3], allow_missing=True)


def test_missing_files_are_told_in_order(tac_corpus, tmp_path):
    lost = [{**tac_corpus.entries[0], "noise": f"{name}.wav"} for name in "zxyab"]
    path = tac_corpus.write(tmp_path / "list.pkl", [*lost, tac_corpus.entries[0]])
    selection = import_list(path, SPEC, "s", *load(tac_corpus), allow_missing=True)
    assert list(selection.missing) == [f"{name}.wav" for name in "abxyz"]


def test_a_shortened_utterance_is_named(tac_corpus, tmp_path):
    write_table(tac_corpus.speech / "utt2dur", {"1-7-0001": 2.0, "2-7-0001": 5.0, "3-7-0001": 5.0})
    with pytest.raises(
        UserError, match="'1-7-0001' has 32000 samples where mixture 'test_2mix-000000' cuts up to sample 48"
    ):
        import_entries(tac_corpus, tmp_path)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"RT60": None}, "'RT60' is missing"),
        ({"RT60": "0.3"}, "'RT60' is '0.3' where a number is expected"),
        ({"RT60": True}, "'RT60' is True"),
        ({"RT60": float("nan")}, "'RT60' is nan"),
        ({"RT60": 10**400}, "'RT60' is 1000"),
        ({"RT60": -0.1}, "t60_s is -0.1"),
        ({"overlap_ratio": 1.5}, "overlap is 1.5"),
        ({"room_size": [3.0, 4.0]}, "'room_size' is a list of 2 where three numbers"),
        ({"room_size": [3.0, 4.0, 0.0]}, "a room has three edges"),
        ({"mic_pos": [3.0, 4.0, 1.0]}, "'mic_pos' is a list of 3 where some points"),
        ({"mic_pos": []}, "'mic_pos' is a list of 0"),
        ({"mic_pos": [[3.0, 4.0, 9.0]]}, "microphone at .* is not inside"),
        ({"num_mic": 5}, "'num_mic' is 5 where 6, the number of points in 'mic_pos'"),
        ({"spk_pos": [[1.0, 1.0, 1.0]]}, "'spk_pos' is a list of 1 where 2 points"),
        ({"noise_pos": {"x": 1}}, "'noise_pos' is a dict of 1 where 1 points"),
        ({"speech": ["a.flac"]}, "'speech' is a list of 1 where 2 file names"),
        ({"speech": ["a.flac", "b\x1b[2J"]}, "'speech' is a list of 2"),
        ({"speech": ["a.flac", 3]}, "'speech' is a list of 2"),
        ({"noise": "a b\n"}, r"'noise' is 'a b\\n' where a file name"),
        ({"noise": ["n1.wav"]}, "'noise' is a list of 1"),
        ({"start_idx": 1.5}, "'start_idx' is 1.5 where a whole number"),
        ({"start_idx": -1}, "'start_idx' is -1"),
        ({"spk_snr": 1e9}, "a level is 1000000000.0 dB"),
        ({"noise_snr": [1]}, "'noise_snr' is a list of 1"),
    ],
)
def test_a_wrong_field_is_named_with_its_mixture(tac_corpus, tmp_path, change, said):
    bad = {**tac_corpus.entries[1], **change}
    if change == {"RT60": None}:
        del bad["RT60"]
    with pytest.raises(UserError, match=f"list.pkl: mixture 1: .*{said}") as error:
        import_entries(tac_corpus, tmp_path, [tac_corpus.entries[0], bad])
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "entries, said",
    [
        ([], "holds a list of 0 where a list of mixtures"),
        ({"a": 1}, "holds a dict of 1"),
        (3, "holds 3 where"),
        (({}, {}), "holds a tuple of 2"),
        ([1], "mixture 0: is 1 where a dict"),
    ],
)
def test_other_data_is_no_list(tac_corpus, tmp_path, entries, said):
    with pytest.raises(UserError, match=f"list.pkl: {said}"):
        read_list(tac_corpus.write(tmp_path / "list.pkl", entries), SPEC, "s")


@pytest.mark.parametrize("microphone", [0, -1, 7])
def test_a_microphone_that_a_mixture_lacks_is_named(tac_corpus, tmp_path, microphone):
    with pytest.raises(UserError, match=f"mixture 0: has microphones 1 to 6, not {microphone}"):
        import_entries(tac_corpus, tmp_path, microphone=microphone)


@pytest.mark.parametrize("change", [{"sample_rate": 8000}, {"length_s": 2.0}, {"overlap": (0.0, 0.5)}, {"sources": 3}])
def test_what_a_list_has_fixed_cannot_be_set(tac_corpus, tmp_path, change):
    path = tac_corpus.write(tmp_path / "list.pkl")
    with pytest.raises(UserError, match=f"--spec.{next(iter(change))} says how mixtures are drawn"):
        read_list(path, replace(SPEC, **change), "s")
    read_list(path, replace(SPEC, peak_limit=0.5, engine="gpurir"), "s")
