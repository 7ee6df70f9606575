"""LibriMix: every signal against its definition, done step by step on the list's own lines; lists and their faults."""

import csv
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from itersep.data.datadir import read_durations, read_table, write_data_dir, write_table
from itersep.data.validate import validate_data_dir
from itersep.simulate.lists.librimix import import_list, read_list
from itersep.simulate.mixture import DryMixture, ScaledClip, load_clips, manifest_text, read_mixtures, render_mixture
from itersep.system.errors import UserError

LIST = "data/librimix/libri2mix_test-clean.csv"
VARIANTS = [(rate, mode) for rate in (8000, 16000) for mode in ("min", "max")]


class Corpus(NamedTuple):
    """A folder with the files that lists name, and data directories of them."""

    root: Path
    speech: Path
    noise: Path

    def write_list(self, rows: list[dict[str, object]], name: str = "list.csv") -> Path:
        with open(self.root / name, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return self.root / name

    def clips(self):
        return load_clips(self.speech, 16000), load_clips(self.noise, 16000)


@pytest.fixture
def corpus(tmp_path, rng) -> Corpus:
    """Four utterances of 0.7 to 1.9 s, a noise of 1.05 s and one of 2 s."""
    for kind, lengths in {"speech": {"1-7-0001": 16001, "2-7-0001": 23999, "3-7-0001": 30402, "4-7-0001": 11200},
                          "noise": {"short_1.25_x_-1.25": 16803, "long": 32000}}.items():  # fmt: skip
        paths = {utt: tmp_path / "files" / kind / f"{utt}.flac" for utt in lengths}
        for utt, path in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, rng.integers(-9000, 9000, lengths[utt], dtype=np.int16), 16000)
        durations_s = {utt: lengths[utt] / 16000 for utt in lengths}
        write_data_dir(tmp_path / kind, paths, {utt: utt for utt in paths}, durations_s)
    return Corpus(tmp_path / "files", tmp_path / "speech", tmp_path / "noise")


def list_row(name: str, sources: dict[str, float], noise: tuple[str, float] = ("long", 0.5)) -> dict[str, object]:
    row: dict[str, object] = {"mixture_ID": name}
    for c, (utt, gain) in enumerate(sources.items(), start=1):
        row |= {f"source_{c}_path": f"speech/{utt}.flac", f"source_{c}_gain": gain}
    return row | {"noise_path": f"noise/{noise[0]}.flac", "noise_gain": noise[1]}


ROWS = [
    list_row("1_2", {"1-7-0001": 0.8123, "2-7-0001": 1.3}),
    list_row("3_4", {"3-7-0001": 0.5, "4-7-0001": 0.25}, ("short_1.25_x_-1.25", 0.3)),
]
THREE = [list_row("1_2_4", {"1-7-0001": 0.4, "2-7-0001": 0.3, "4-7-0001": 1.0}, ("short_1.25_x_-1.25", 0.2))]


def definition(row, root: Path, rate: int, mode: str, with_noise: bool) -> np.ndarray:
    """The sources of a line, (C, T) or with the noise (C + 1, T), as LibriMix defines them, in float64."""
    columns = sorted(column.removesuffix("_path") for column in row if column.endswith("_path") and "source" in column)
    sources = [soundfile.read(root / row[f"{column}_path"])[0] for column in columns]
    gains = [float(row[f"{column}_gain"]) for column in columns]
    if with_noise:
        longest = max(len(source) for source in sources)
        sources.append(repeat(soundfile.read(root / row["noise_path"])[0], longest))
        gains.append(float(row["noise_gain"]))
    sources = [gain * source for gain, source in zip(gains, sources, strict=True)]
    if rate != 16000:
        sources = [resample_poly(source, rate, 16000) for source in sources]
    if mode == "min":
        shortest = min(len(source) for source in sources)
        return np.stack([source[:shortest] for source in sources])
    longest = max(len(source) for source in sources)
    return np.stack([np.pad(source, (0, longest - len(source))) for source in sources])


def repeat(noise: np.ndarray, length: int) -> np.ndarray:
    """Copies of a noise, each 8001 samples into the one before, faded into each other by a Hann window's halves."""
    step = len(noise) - 8001
    copies = max(0, math.ceil((length - len(noise)) / step)) + 1
    total = np.zeros(len(noise) + (copies - 1) * step)
    fade = 0.5 - 0.5 * np.cos(np.pi * np.arange(8001) / 8000)
    for k in range(copies):
        envelope = np.ones(len(noise))
        if k > 0:
            envelope[:8001] *= fade
        if k < copies - 1:
            envelope[-8001:] *= fade[::-1]
        total[k * step : k * step + len(noise)] += envelope * noise
    return total[:length]


def check_rendering(rendered, expected: np.ndarray, speakers: int) -> None:
    """16-bit rounding of each part, the mixture their sum, and so within a step of the rounded sum."""
    parts = np.concatenate([rendered.ref, rendered.noise[None]])[: len(expected)]
    assert rendered.gain == 1.0 and len(rendered.ref) == speakers
    assert np.abs(parts * 32768 - np.rint(expected * 32768)).max() <= 1e-3  # the very integers
    np.testing.assert_array_equal(rendered.mix, parts.sum(axis=0))
    assert np.abs(rendered.mix * 32768 - expected.sum(axis=0) * 32768).max() <= len(parts) / 2 + 1e-3


@pytest.mark.parametrize(("rate", "mode"), VARIANTS)
@pytest.mark.parametrize("with_noise", [False, True])
def test_rendering_is_the_definition(corpus, rate, mode, with_noise):
    speech, noise = corpus.clips()
    noise = noise if with_noise else None
    for rows in (ROWS, THREE):
        path = corpus.write_list(rows)
        mixtures = import_list(path, speech, noise, sample_rate=rate, mode=mode).mixtures
        for mixture, row in zip(mixtures, rows, strict=True):
            expected = definition(row, corpus.root, rate, mode, with_noise)
            assert (mixture.id, mixture.length) == (row["mixture_ID"], expected.shape[1])
            check_rendering(render_mixture(mixture, speech, noise), expected, len(mixture.speakers))


@pytest.mark.parametrize(("rate", "mode"), VARIANTS)
def test_the_test_lists_mixtures_that_are_here_are_the_definition(shared, tmp_path, rate, mode):
    """Real speech by the official list: the files that LibriMix's own writer makes differ by 16-bit steps alone."""
    folder = shared / "data/LibriSpeech"
    paths = {path.stem: path for path in (folder / "test-clean").rglob("*.flac")}
    seconds = {utt: soundfile.info(path).duration for utt, path in paths.items()}
    write_data_dir(tmp_path / "speech", paths, {utt: utt for utt in paths}, seconds)
    speech = load_clips(tmp_path / "speech", 16000)
    selection = import_list(shared / LIST, speech, None, sample_rate=rate, mode=mode, allow_missing=True)
    assert (len(selection.mixtures), selection.left_out) == (55, 2945)
    with open(shared / LIST, newline="") as file:
        rows = {row["mixture_ID"]: row for row in csv.DictReader(file)}
    for mixture in selection.mixtures[::5]:
        expected = definition(rows[mixture.id], folder, rate, mode, False)
        rendered = render_mixture(mixture, speech, None)
        check_rendering(rendered, expected, 2)
        soundfile.write(tmp_path / "mix.wav", expected.sum(axis=0), rate)  # 16 bits, by libsndfile's scale
        theirs, _ = soundfile.read(tmp_path / "mix.wav")
        assert np.abs(theirs - rendered.mix).max() <= 3 / 32768


def test_what_would_clip_is_scaled_as_a_whole_and_says_so(corpus):
    speech, _ = corpus.clips()
    row = list_row("1_2", {"1-7-0001": 3.0, "2-7-0001": 2.9})
    (mixture,) = import_list(corpus.write_list([row]), speech, None).mixtures
    rendered, expected = render_mixture(mixture, speech, None), definition(row, corpus.root, 16000, "max", False)
    assert 0 < rendered.gain < 1 and np.abs(rendered.mix).max() == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(rendered.ref, expected * rendered.gain, atol=0.51 / 32768)


def test_the_manifest_reads_back_and_says_that_there_is_no_room(corpus, tmp_path):
    mixtures = import_list(corpus.write_list(ROWS), *corpus.clips(), sample_rate=8000, mode="min").mixtures
    (tmp_path / "mixtures.jsonl").write_text(manifest_text(mixtures))
    assert read_mixtures(tmp_path / "mixtures.jsonl") == mixtures
    assert manifest_text(mixtures).count('"room": null}\n') == len(mixtures)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"length": 0}, "length is 0"),
        ({"sample_rate": -1}, "sample_rate is -1"),
        ({"speakers": ()}, "one speaker at least"),
        ({"speakers": (ScaledClip("a", 0.0),)}, "a gain is 0"),
        ({"noise": ScaledClip("a", math.nan)}, "a gain is nan"),
    ],
)
def test_a_mixture_that_cannot_be_rendered_is_refused(change, said):
    values = {"id": "m", "sample_rate": 8000, "length": 10, "speakers": (ScaledClip("a", 1.0),), "noise": None}
    with pytest.raises(ValueError, match=said):
        DryMixture(**values | change)


@pytest.mark.parametrize(
    ("text", "replacement", "said"),
    [
        ("mixture_ID", "mixture", ":1: has no column mixture_ID"),
        ("source_1_path", "first_path", ":1: has no column source_1_path"),
        ("source_2_path", "second_path", ":1: has no column source_2_path"),
        ("source_2_gain", "gain", ":1: has no column source_2_gain"),
        ("noise_gain", "gain", ":1: has no column noise_gain"),
        ("0.8123", "loud", ":2: source_1_gain is 'loud'"),
        ("0.8123", "-0.8123", ":2: source_1_gain is '-0.8123'"),
        ("0.8123", "nan", ":2: source_1_gain is 'nan'"),
        ("0.8123", "inf", ":2: source_1_gain is 'inf'"),
        ("0.8123,", "", ":2: has another number of cells"),
        ("0.8123,", "0.8123,7,", ":2: has another number of cells"),
        ("speech/1-7-0001.flac", "/etc/passwd", ":2: source_1_path is '/etc/passwd'"),
        ("speech/1-7-0001.flac", "", ":2: source_1_path is ''"),
        ("1_2,", "../1_2,", ":2: mixture_ID is '../1_2'"),
        ("3_4,", "1_2,", ":3: '1_2' appears twice"),
    ],
)
def test_a_damaged_list_is_refused_with_file_and_line(corpus, text, replacement, said):
    path = corpus.write_list(ROWS)
    path.write_text(path.read_text().replace(text, replacement, 1))
    with pytest.raises(UserError, match=said) as raised:
        read_list(path, with_noise=True)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


def test_what_is_no_list_is_refused(tmp_path):
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    (tmp_path / "header.csv").write_text("mixture_ID,source_1_path,source_1_gain\n")
    for name, said in (("none.csv", "no such file"), ("", "no such file"), ("empty.csv", "has no column"),
                       ("binary.csv", "is not a csv file"), ("header.csv", "lists no mixture")):  # fmt: skip
        with pytest.raises(UserError, match=said):
            read_list(tmp_path / name)


def test_a_noise_too_short_to_be_repeated_is_named(corpus):
    soundfile.write(corpus.root / "noise/short_1.25_x_-1.25.flac", np.zeros(15000), 16000)
    write_table(corpus.noise / "utt2dur", {"short_1.25_x_-1.25": 15000 / 16000, "long": 2.0})
    speech, noise = corpus.clips()
    mixture = import_list(corpus.write_list(ROWS[1:]), speech, noise).mixtures[0]
    with pytest.raises(UserError, match="noise 'short_1.25_x_-1.25' has only 15000 samples"):
        render_mixture(mixture, speech, noise)


def test_the_program_makes_a_set_like_any_other(corpus, tmp_path, program):
    rows = [*ROWS, list_row("1_9", {"1-7-0001": 1.0, "9-7-0001": 1.0})]
    path, out = corpus.write_list(rows), tmp_path / "test_2mix"
    options = ["--csv", path, "--speech", corpus.speech, "--noise", corpus.noise, "--out", out, "--sample_rate", 8000]
    stopped = program("simulate_librimix.py", *options)
    assert stopped.status == 2 and "1 of 3 mixtures need missing files (1: speech/9-7-0001.flac)" in stopped.err
    assert stopped.err.count("\n") == 1 and not out.exists()
    done = program("simulate_librimix.py", *options, "--allow_missing", "true")
    assert done.status == 0, done.err
    assert "2 mixtures, 2 rendered now" in done.out
    assert (out / "missing.txt").read_text() == "speech/9-7-0001.flac 1\n"
    assert validate_data_dir(out, 8000).faults == []
    assert sorted(path.name for path in out.glob("*.scp")) == ["noise1.scp", "spk1.scp", "spk2.scp", "wav.scp"]
    assert sorted(read_table(out / "wav.scp")) == ["1_2", "3_4"]
    assert read_durations(out)["1_2"] == pytest.approx(12000 / 8000, abs=1e-4)
    again = program("simulate_librimix.py", *options, "--allow_missing", "true")
    assert "nothing left to render" in again.out
    other = program("simulate_librimix.py", *options, "--allow_missing", "true", "--mode", "min")
    assert other.status == 2 and "was drawn with other options" in other.err
