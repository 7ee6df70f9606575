"""Audio files: bits that survive, cuts that are cuts, and files that are refused by name."""

import numpy as np
import pytest
import soundfile

from itersep.data.audio import audio_length, encode_audio, read_audio, to_pcm, wav_size, write_audio
from itersep.system.errors import UserError

RATE = 8000


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_16_bits_survive(tmp_path, rng, suffix):
    path = tmp_path / f"a b{suffix}"
    pcm = rng.integers(-32768, 32768, 1000).astype(np.int16)
    write_audio(path, pcm, RATE)
    samples = read_audio(path, RATE)
    assert samples.dtype == np.float32 and audio_length(path, RATE) == 1000
    np.testing.assert_array_equal(samples * 32768, pcm)
    np.testing.assert_array_equal(to_pcm(samples), pcm)
    write_audio(path, samples, RATE)  # floats on the grid are written as they are
    np.testing.assert_array_equal(read_audio(path, RATE), samples)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("start, length", [(0, 10), (300, 500), (990, 100), (1000, 5), (0, -1), (200, -1)])
def test_a_cut_equals_that_part_of_the_whole(tmp_path, rng, suffix, start, length):
    path = tmp_path / f"a{suffix}"
    write_audio(path, rng.uniform(-1, 1, 1000).astype(np.float32), RATE)
    stop = None if length < 0 else start + length
    np.testing.assert_array_equal(read_audio(path, RATE, start, length), read_audio(path, RATE)[start:stop])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_are_rounded_to_the_nearest(rng, dtype):
    samples = rng.uniform(-1, 0.9999, 1000).astype(dtype)
    assert np.abs(to_pcm(samples) - samples * 32768.0).max() <= 0.5


def test_a_wav_of_floats_does_not_hold_the_time(rng):
    encoded = bytes(encode_audio(rng.uniform(-1, 1, 1000), RATE, "wav", "FLOAT"))
    version, time = np.frombuffer(encoded.partition(b"PEAK")[2][4:12], "<u4")
    assert (version, time) == (1, 0)


@pytest.mark.parametrize("peak", [1.0, -1.1, np.nan, np.inf])
def test_what_would_clip_is_refused_and_leaves_no_file(tmp_path, peak):
    with pytest.raises(ValueError, match="do not fit"):
        write_audio(tmp_path / "a.wav", np.array([0.0, peak], dtype=np.float32), RATE)
    assert not list(tmp_path.iterdir())


def test_a_failing_write_keeps_the_file_that_was_there(tmp_path):
    path = tmp_path / "a.wav"
    write_audio(path, np.zeros(10, dtype=np.float32), RATE)
    before = path.read_bytes()
    with pytest.raises(ValueError):
        write_audio(path, np.full(10, 2.0, dtype=np.float32), RATE)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def make_missing(path):
    return "cannot be read as audio (no such file)"


def make_text(path):
    path.write_text("no audio here")
    return "cannot be read as audio"


def make_empty(path):
    path.write_bytes(b"")
    return "cannot be read as audio"


def make_stereo(path):
    soundfile.write(path, np.zeros((10, 2)), RATE)
    return "has 2 channels where one is expected"


def make_fast(path):
    soundfile.write(path, np.zeros(10), 44100)
    return "sample rate is 44100 Hz where 8000 Hz is expected"


@pytest.mark.parametrize("make", [make_missing, make_text, make_empty, make_stereo, make_fast])
@pytest.mark.parametrize("read", [read_audio, audio_length])
def test_bad_files_are_named(tmp_path, make, read):
    path = tmp_path / "a.wav"
    said = make(path)
    with pytest.raises(UserError) as refused:
        read(path, RATE)
    assert str(refused.value).startswith(f"{path}: {said}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("read", [read_audio, audio_length])
def test_a_caller_says_what_can_be_done_about_another_rate(tmp_path, read):
    make_fast(tmp_path / "a.wav")
    with pytest.raises(UserError, match="is expected; resample it$"):
        read(tmp_path / "a.wav", RATE)
    with pytest.raises(UserError, match="is expected; give --rate$"):
        read(tmp_path / "a.wav", RATE, remedy="give --rate")


def test_samples_that_are_no_numbers_are_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([0.0, np.nan]), RATE, subtype="FLOAT")
    with pytest.raises(UserError, match="not finite"):
        read_audio(tmp_path / "a.wav", RATE)


@pytest.mark.parametrize("length", [0, 1, 2, 999, 64000])
@pytest.mark.parametrize("durable", [True, False])
def test_size_of_a_wav_file_is_known_from_its_length(tmp_path, length, durable):
    write_audio(tmp_path / "a.wav", np.zeros(length, dtype=np.float32), 16000, durable)
    assert (tmp_path / "a.wav").stat().st_size == wav_size(length)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
