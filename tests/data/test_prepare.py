"""Laws of data preparation: what is kept, at which level, joined how, and split how."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from itersep.data.audio import read_audio
from itersep.data.clean import UnusableError, clean, decode, find_active, group_clips, resample, splice
from itersep.data.datadir import read_durations, read_table
from itersep.data.librispeech import AsFound
from itersep.data.prepare import (
    Recording,
    find_noise,
    find_speech,
    noise_set,
    prepare_sets,
    speech_set,
    split_speakers,
)
from itersep.system.errors import UserError

RATE = 16000


def sine(seconds: float, hz: float = 440.0, rate: int = RATE, peak: float = 0.2) -> np.ndarray:
    return (peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate)
    return path


def active_s(samples: np.ndarray) -> float:
    return find_active(samples, 320).sum() * 0.02


# --- one recording ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gain", [0.02, 1.0, 4.0])
def test_level_does_not_depend_on_the_level_of_the_recording(gain):
    source = np.concatenate([silence(0.4), sine(1.0), silence(0.7)])
    cleaned = clean(gain * source, RATE, RATE, 0.3)
    np.testing.assert_allclose(cleaned, clean(source, RATE, RATE, 0.3), atol=2e-6)
    middle = cleaned[cleaned.size // 2 - 1600 : cleaned.size // 2 + 1600]
    assert 20 * np.log10(np.sqrt(np.mean(middle**2))) == pytest.approx(-26, abs=0.1)


def test_a_constant_offset_is_removed():
    source = np.concatenate([silence(0.5), sine(1.0), silence(0.5)])
    np.testing.assert_allclose(clean(source + 0.3, RATE, RATE, 0.3), clean(source, RATE, RATE, 0.3), atol=1e-5)


def test_peaks_stay_within_full_scale(rng):
    clicks = sine(2.0, peak=0.01)
    clicks[rng.integers(0, clicks.size, 20)] = 1.0  # a crest factor that the level alone would clip
    assert np.abs(clean(clicks, RATE, RATE, 0.3)).max() <= 0.9 + 1e-6


def test_speech_loses_its_pauses_and_nothing_else():
    words = [sine(0.5, hz) for hz in (300, 500, 700)]
    gaps = [silence(s) for s in (1.0, 0.1, 2.0, 3.0)]
    source = np.concatenate([gaps[0], words[0], gaps[1], words[1], gaps[2], words[2], gaps[3]])
    cleaned = clean(source, RATE, RATE, 0.3)
    assert active_s(cleaned) == pytest.approx(1.5, abs=0.06)
    # the short pause is whole, the long one is cut to 0.3 s, half as much stands at each end
    assert cleaned.size / RATE == pytest.approx(1.5 + 0.1 + 0.3 + 0.15 + 0.15, abs=0.06)


def test_noise_loses_the_silence_at_its_ends_only():
    source = np.concatenate([silence(1.0), sine(0.5), silence(2.0), sine(0.5), silence(1.0)])
    assert clean(source, RATE, RATE, None).size / RATE == pytest.approx(3.0, abs=0.06)


@pytest.mark.parametrize("rate", [22050, 32000, 44100, 48000])
def test_resampling_keeps_the_signal(rate):
    expected, got = sine(1.0, 1000), resample(sine(1.0, 1000, rate), rate, RATE)
    assert got.size == RATE
    np.testing.assert_allclose(got[800:-800], expected[800:-800], atol=1e-3)


@pytest.mark.parametrize(
    ("samples", "rate", "reason"),
    [
        (sine(1.0, rate=8000), 8000, "8000 Hz"),
        (silence(1.0), RATE, "silent"),
        (np.zeros(0, np.float32), RATE, "empty"),
        (np.full(RATE, 0.5, np.float32), RATE, "silent"),  # an offset is no sound
        (np.append(sine(1.0), np.float32(np.nan)), RATE, "not finite"),
        (np.append(silence(1.0), sine(0.05)), RATE, "almost no sound"),
        (sine(1.0, rate=44101), 44101, "44101 Hz"),
    ],
)
def test_what_cannot_serve_is_refused_with_its_reason(samples, rate, reason):
    with pytest.raises(UnusableError, match=reason):
        clean(samples, rate, RATE, 0.3)


def test_files_that_are_no_audio_are_refused(tmp_path):
    for name, content in (("empty.wav", b""), ("text.ogg", b"hello"), ("cut.flac", b'fLaC\0\0\0"')):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnusableError):
            clean(*decode(tmp_path / name), RATE, 0.3)


def test_channels_are_averaged(tmp_path):
    left, right = sine(0.5, 300), sine(0.5, 900)
    samples, rate = decode(write(tmp_path / "stereo.wav", np.stack([left, right], axis=1)))
    assert rate == RATE
    np.testing.assert_allclose(samples, (left + right) / 2, atol=1e-4)


def test_g722_is_decoded_at_16_khz(tmp_path):
    av = pytest.importorskip("av")
    path, voice = tmp_path / "voice.g722", sine(0.5, 300)
    with av.open(str(path), "w", format="g722") as container:
        stream = container.add_stream("g722", rate=RATE)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray((voice * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    samples, rate = decode(path)
    assert rate == RATE
    delay = np.argmax(np.correlate(samples[1000:5000], voice[1000:4900], "valid"))  # of the codec's filters
    np.testing.assert_allclose(samples[1000 + delay : 5000], voice[1000 : 5000 - delay], atol=0.01)


# --- joining ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 50)), st.integers(1, 100))
def test_clips_are_joined_in_order_and_none_is_lost(lengths, least):
    runs = [[i for i, _ in run] for run in group_clips(enumerate(map(np.zeros, lengths)), least)]
    if sum(lengths) < least:
        assert runs == []
        return
    assert [i for run in runs for i in run] == list(range(len(lengths)))
    for run in runs:
        assert sum(lengths[i] for i in run) >= least
    for run in runs[:-1]:  # no run could have ended earlier
        assert sum(lengths[i] for i in run[:-1]) < least


def test_no_more_than_two_runs_of_clips_are_held() -> None:
    """However long a speaker's recordings are."""
    met = []
    clips = ((met.append(i) or i, np.zeros(10)) for i in range(20))
    assert [(len(run), len(met)) for run in group_clips(clips, 20)] == [(2, k) for k in range(4, 21, 2)] + [(2, 20)]


def test_joined_clips_are_faded_into_each_other() -> None:
    joined = splice([np.ones(1600, np.float32)] * 2, RATE)
    assert joined.size == 3200 and not joined[[0, 1599, 1600, -1]].any()
    assert np.abs(np.diff(joined)).max() < 0.1 and joined[[800, 2400]].tolist() == [1, 1]


# --- data directories ------------------------------------------------------------------------------------------------


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Six speakers, each with a folder of five words of 1.5 s to 2 s, and one file that cannot serve."""
    root = tmp_path / "my corpus"
    for s in range(6):
        for i in range(5):
            write(root / f"speaker {s}" / "chapter" / f"{i}.flac", sine(1.5 + 0.1 * s, 200 + 50 * s + 10 * i))
    write(root / "speaker 0" / "chapter" / "bad.wav", silence(1.0))
    return root


@pytest.fixture
def noises(tmp_path: Path) -> Path:
    for i in range(4):
        write(tmp_path / "noise" / f"kind{i % 2}" / f"{i}.wav", sine(1.2, 100 * (i + 1)))
    return tmp_path / "noise"


def prepare(corpus: Path, noises: Path, out: Path, nj: int = 1, origin: str = "here") -> None:
    speech = {name: speech_set(part) for name, part in split_speakers(find_speech(corpus), 2, "speakers").items()}
    noise = {f"noise_{n}": noise_set(part) for n, part in split_speakers(find_noise(noises), 1, "noises").items()}
    prepare_sets(speech | noise, out, origin, nj)


SETS = ["train", "dev", "test", "noise_train", "noise_dev", "noise_test"]


def test_data_dirs_are_whole_and_disjoint(corpus, noises, tmp_path, capsys):
    out = tmp_path / "data"
    prepare(corpus, noises, out)
    speakers: list[str] = []
    for name in SETS:
        wav, utt2spk = read_table(out / name / "wav.scp"), read_table(out / name / "utt2spk")
        durations_s = read_durations(out / name)
        assert wav.keys() == utt2spk.keys() == durations_s.keys()
        for utt, path in wav.items():
            assert utt.startswith(utt2spk[utt] + "-")
            assert read_audio(path, RATE).size / RATE == pytest.approx(durations_s[utt], abs=1e-4)
            assert durations_s[utt] >= (1.0 if "noise" in name else 5.0)
        speakers += sorted(set(utt2spk.values()))
    assert sorted(speakers) == sorted([f"speaker_{s}" for s in range(6)] + [f"kind{i % 2}_{i}.wav" for i in range(4)])
    printed = capsys.readouterr().out
    assert "Skipped 1 of 35 files" in printed and "bad.wav: silent" in printed


def test_what_is_written_does_not_depend_on_the_number_of_processes(corpus, noises, tmp_path):
    prepare(corpus, noises, tmp_path / "one", nj=1)
    prepare(corpus, noises, tmp_path / "two", nj=2)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert files == sorted(
        path.relative_to(tmp_path / "two") for path in (tmp_path / "two").rglob("*") if path.is_file()
    )
    for file in files:
        one, two = ((tmp_path / nj / file).read_bytes() for nj in ("one", "two"))
        assert one == two.replace(str(tmp_path / "two").encode(), str(tmp_path / "one").encode())


def test_a_second_run_redoes_nothing_and_a_broken_set_is_made_again(corpus, noises, tmp_path):
    out = tmp_path / "data"
    prepare(corpus, noises, out)
    kept, lost = out / "train" / "wav.scp", out / "dev" / "wav.scp"
    before, content = kept.stat().st_mtime_ns, lost.read_text()
    lost.unlink()
    prepare(corpus, noises, out)
    assert kept.stat().st_mtime_ns == before
    assert lost.read_text() == content


def test_another_corpus_is_not_mixed_with_the_first(corpus, noises, tmp_path):
    prepare(corpus, noises, tmp_path / "data", origin="one")
    with pytest.raises(UserError, match="was made from one, not from other"):
        prepare(corpus, noises, tmp_path / "data", origin="other")


def test_a_part_of_one_corpus_is_not_completed_from_another(corpus: Path, noises: Path, tmp_path: Path) -> None:
    prepare(corpus, noises, tmp_path / "data", origin="one")
    (tmp_path / "data" / "dev" / "wav.scp").unlink()
    with pytest.raises(UserError, match="was made from one, not from other"):
        prepare(corpus, noises, tmp_path / "data", origin="other")


def test_a_speaker_with_more_recordings_than_a_task_takes_keeps_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("itersep.data.prepare.TASK_SIZE", 2)
    recordings = [Recording(write(tmp_path / f"{i}.wav", sine(1.2, 200 + 50 * i)), "a") for i in range(5)]
    prepare_sets({"noise": noise_set(recordings)}, tmp_path / "data", "here", 1)
    assert list(read_table(tmp_path / "data" / "noise" / "wav.scp")) == [f"a-{i:05d}" for i in range(5)]


def test_sets_of_speech_lose_pauses_and_sets_of_noise_keep_them(tmp_path: Path) -> None:
    recordings = [Recording(write(tmp_path / "a.wav", np.concatenate([sine(3.0), silence(2.0), sine(3.0)])), "a")]
    prepare_sets({"speech": speech_set(recordings), "noise": noise_set(recordings)}, tmp_path / "data", "here", 1)
    seconds = {name: sum(read_durations(tmp_path / "data" / name).values()) for name in ("speech", "noise")}
    assert seconds == {"speech": pytest.approx(6.3, abs=0.06), "noise": pytest.approx(8.0, abs=0.06)}


def test_a_set_without_anything_usable_says_so(tmp_path):
    recording = Recording(write(tmp_path / "a" / "x.wav", silence(6.0)), "a")
    with pytest.raises(UserError, match="nothing usable.*silent"):
        prepare_sets({"train": speech_set([recording])}, tmp_path / "data", "here", 1)
    assert not (tmp_path / "data" / "train").exists()


def test_where_one_set_has_nothing_none_is_written(tmp_path: Path) -> None:
    """So that a corpus which is mended then is split anew as a whole."""
    good = Recording(write(tmp_path / "a" / "x.wav", sine(6.0)), "a")
    bad = Recording(write(tmp_path / "b" / "x.wav", silence(6.0)), "b")
    with pytest.raises(UserError, match="dev: nothing usable"):
        prepare_sets({"train": speech_set([good]), "dev": speech_set([bad])}, tmp_path / "data", "here", 1)
    assert not list(tmp_path.glob("data/*/wav.scp"))


def test_a_corpus_that_has_changed_is_not_split_anew_beside_sets_of_before(tmp_path: Path) -> None:
    a, b, c = (Recording(write(tmp_path / s / "x.wav", sine(6.0)), s) for s in "abc")
    sets = {"train": speech_set([a, b]), "dev": speech_set([c])}
    prepare_sets(sets, tmp_path / "data", "here", 1)
    changed = {"train": speech_set([a]), "dev": speech_set([b])}
    prepare_sets(changed, tmp_path / "data", "here", 1)  # nothing is to be made
    lost = tmp_path / "data" / "dev" / "wav.scp"
    lost.unlink()
    with pytest.raises(UserError, match="with other recordings than are there now"):
        prepare_sets(changed, tmp_path / "data", "here", 1)
    assert not lost.exists()
    prepare_sets(sets, tmp_path / "data", "here", 1)
    assert list(read_table(lost)) == ["c-00000"]


@pytest.mark.parametrize("speakers", ["aa", "ab"])
def test_two_files_that_would_be_one_utterance_are_named(tmp_path: Path, speakers: str) -> None:
    files = [write(tmp_path / folder / "001.wav", sine(1.0)) for folder in ("one", "two")]
    recordings = [Recording(file, speaker) for file, speaker in zip(files, speakers, strict=True)]
    with pytest.raises(UserError, match=r"two/001.wav: would be the utterance '001', and so would .*one/001.wav"):
        prepare_sets({"train": AsFound(recordings)}, tmp_path / "data", "here", 1)


# --- finding and splitting -------------------------------------------------------------------------------------------


@given(st.sets(st.text("abcdef0123456789", min_size=1), min_size=6, max_size=60), st.randoms())
def test_splits_are_disjoint_complete_and_depend_on_names_alone(names, random):
    recordings = [Recording(Path(f"{name}/{i}"), name) for name in names for i in range(2)]
    split = split_speakers(recordings, 2, "speakers")
    members = {name: {recording.speaker for recording in part} for name, part in split.items()}
    assert set.union(*members.values()) == names
    assert sum(map(len, members.values())) == len(names) >= 6
    assert min(map(len, members.values())) >= 2
    shuffled = random.sample(recordings, len(recordings))
    for name, part in split_speakers(shuffled, 2, "speakers").items():
        assert {recording.speaker for recording in part} == members[name]


def test_a_tenth_of_many_speakers_is_held_out_twice() -> None:
    split = split_speakers([Recording(Path(str(i)), str(i)) for i in range(57)], 2, "speakers")
    assert {name: len(part) for name, part in split.items()} == {"train": 47, "dev": 5, "test": 5}


def test_too_few_speakers_and_wrong_layouts_are_named(tmp_path):
    with pytest.raises(UserError, match="5 speakers found where at least 6"):
        split_speakers([Recording(Path(str(i)), str(i)) for i in range(5)], 2, "speakers")
    with pytest.raises(UserError, match="nowhere: no such folder"):
        find_speech(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no audio"):
        find_noise(tmp_path)
    write(tmp_path / "flat.wav", sine(1.0))
    with pytest.raises(UserError, match="one folder a speaker"):
        find_speech(tmp_path)


def test_suffixes_may_be_in_capitals(tmp_path: Path) -> None:
    write(tmp_path / "corpus" / "anna" / "A.WAV", sine(0.1))
    assert [recording.path.name for recording in find_speech(tmp_path / "corpus")] == ["A.WAV"]


def test_linked_speakers_are_found(tmp_path):
    write(tmp_path / "elsewhere" / "deep" / "a.wav", sine(1.0))
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "anna").symlink_to(tmp_path / "elsewhere")
    assert [(r.path.name, r.speaker) for r in find_speech(tmp_path / "corpus")] == [("a.wav", "anna")]


def test_a_name_that_no_table_can_hold_is_refused(tmp_path: Path) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    Path(folder).mkdir()
    (Path(folder) / "a.wav").touch()
    with pytest.raises(UserError, match="its name is not UTF-8; rename it"):
        find_speech(tmp_path)
