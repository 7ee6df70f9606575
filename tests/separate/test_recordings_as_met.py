"""Audio files as people bring them: of whatever kind, read whole, and by every reader to the same samples."""

import os
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from itersep.data.audio import audio_length, read_audio
from itersep.data.audiofile import as_float, open_audio
from itersep.data.clean import decode
from itersep.data.datadir import write_data_dir
from itersep.data.folders import SUFFIXES
from itersep.data.prepare import find_audio
from itersep.data.validate import validate_data_dir
from itersep.separate.recordings import Found, find_recordings, read_blocks
from itersep.simulate.clips import load_clips
from itersep.system.errors import UserError
from tests.formats import KINDS, Kind, chained, encode, voice

every_kind = pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
RATE = 16000


def find(tmp_path: Path, *inputs: object, channel: int | None = None) -> Found:
    return find_recordings([str(given) for given in inputs], tmp_path / "out", channel)


def read_remarked(tmp_path: Path, path: Path) -> tuple[np.ndarray, list[str]]:
    """As separation reads it: samples, and what it says of the file."""
    remarks: list[str] = []
    (recording,), bad, _ = find(tmp_path, path)
    assert not bad
    return np.concatenate(list(read_blocks(recording, remarks.append))), remarks


def snr_db(sound: np.ndarray, heard: np.ndarray) -> float:
    return 10 * np.log10(np.sum(sound**2) / max(np.sum((heard - sound) ** 2), 1e-12))


# --- whole, and the same for all -------------------------------------------------------------------------------------


@every_kind
def test_a_file_has_all_of_the_sound_and_no_more(tmp_path, kind: Kind):
    sound = voice(kind.rate)
    with open_audio(kind.write(tmp_path)) as file:
        samples = file.read()[:, 0]
    assert file.sample_rate == kind.rate
    assert 0 <= len(samples) - kind.delay - len(sound) <= kind.padding
    assert snr_db(sound, samples[kind.delay : kind.delay + len(sound)]) > kind.snr_db


@every_kind
def test_every_reader_has_the_same_samples(tmp_path, kind: Kind):
    path = kind.write(tmp_path)
    samples, remarks = read_remarked(tmp_path, path)
    assert remarks == (["its header says 0 samples; all that follow it are read"] if "crashed" in kind.name else [])
    np.testing.assert_array_equal(decode(path)[0], samples)
    np.testing.assert_array_equal(read_audio(path, kind.rate), samples)
    np.testing.assert_array_equal(read_audio(path, kind.rate, 1500, 2500), samples[1500:4000])
    assert audio_length(path, kind.rate) == len(samples)
    seconds = {"a": len(samples) / kind.rate}
    write_data_dir(tmp_path / "data", {"a": path}, {"a": "a"}, seconds)
    check = validate_data_dir(tmp_path / "data")
    assert (check.faults, check.seconds) == ([], seconds["a"])
    clips = load_clips(tmp_path / "data", kind.rate)
    np.testing.assert_array_equal(clips.read("a", 1500, -1), samples[1500:])


@pytest.mark.parametrize("loud_first", [True, False])
def test_an_mp3_is_as_long_as_its_frames_not_as_its_header(tmp_path, loud_first: bool):
    """The first frame's bits a second are taken for all, and what follows takes more or fewer."""
    sound = np.concatenate([voice(RATE, 1.0), np.zeros(2 * RATE, np.float32)])
    sound = sound if loud_first else sound[::-1].copy()
    path = next(kind for kind in KINDS if kind.name == "vbr.mp3").write(tmp_path, sound)
    assert abs(soundfile.info(path).frames - len(sound)) > RATE
    assert 0 <= audio_length(path, RATE) - len(sound) <= 1105 + 1152


def test_all_streams_of_a_chained_ogg_are_read(tmp_path):
    sound = voice(RATE)
    chained(tmp_path / "radio.ogg", sound, RATE)
    samples, _ = read_remarked(tmp_path, tmp_path / "radio.ogg")
    assert 0 <= len(samples) - len(sound) <= 2 * 1024  # each ends with a whole block
    late = sound[len(sound) // 2 :]
    match = np.correlate(samples, late, "valid").max() / np.sum(late**2)
    assert match == pytest.approx(1, abs=0.02)


def test_streams_side_by_side_in_an_ogg_are_not_a_chain(tmp_path):
    """A skeleton, as some encoders write: its page comes first, and is of another stream than the sound."""
    soundfile.write(tmp_path / "plain.ogg", voice(RATE), RATE)
    head = bytearray((tmp_path / "plain.ogg").read_bytes()[:28])
    head[14:18], head[26:28] = b"bone", bytes([1, 8])
    (tmp_path / "bone.ogg").write_bytes(bytes(head) + b"fishead\0" + (tmp_path / "plain.ogg").read_bytes())
    with open_audio(tmp_path / "plain.ogg") as plain, open_audio(tmp_path / "bone.ogg") as bone:
        assert type(plain) is type(bone)


def test_a_file_without_samples_is_named(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), RATE)
    listed = b"LIST" + struct.pack("<I", 4) + b"INFO"
    (tmp_path / "b.wav").write_bytes((tmp_path / "a.wav").read_bytes() + listed)  # its text is not taken for samples
    found = find(tmp_path, tmp_path / "a.wav", tmp_path / "b.wav")
    assert found.bad == [f"{tmp_path}/{name}.wav: holds no samples; remove it" for name in "ab"]


@pytest.mark.parametrize("name", ["12:30.m4a", "50% %d.m4a", "-.m4a", "caché 1.m4a"])
def test_a_name_is_never_taken_for_an_address_or_a_pattern(tmp_path, name: str, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encode(tmp_path / "a.m4a", voice(RATE), RATE, "ipod", "aac")
    (tmp_path / "a.m4a").rename(name)
    assert audio_length(name, RATE) == 8192


# --- what there is to say of a file ----------------------------------------------------------------------------------


def made(name: str, folder: Path) -> Path:
    return next(kind for kind in KINDS if kind.name == name).write(folder)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pcm16.wav", "ends after 5377 samples where its header says 8077"),
        ("x.m4a", "ends after 4096 samples where its header says 8080"),
        ("x.aac", "cannot be decoded after 0.4 s: 1 piece left out"),
    ],
)
def test_what_was_cut_off_is_said(tmp_path, name: str, said: str):
    path = made(name, tmp_path)
    if name == "x.m4a":  # as it is sent: what tells of the samples comes before them
        encode(path, voice(RATE), RATE, "ipod", "aac", {"movflags": "faststart"})
    os.truncate(path, path.stat().st_size * 2 // 3)
    samples, remarks = read_remarked(tmp_path, path)
    assert remarks == [said] and 4000 < len(samples) < 6200


def test_a_header_that_was_not_kept_up_to_date_is_said(tmp_path):
    content = bytearray(made("pcm16.wav", tmp_path).read_bytes())
    content[40:44] = struct.pack("<I", 2 * 3000)
    (tmp_path / "old.wav").write_bytes(content)
    samples, (remark,) = read_remarked(tmp_path, tmp_path / "old.wav")
    assert len(samples) == 3000
    assert remark == "goes on after the 3000 samples of its header; what may be 5077 more are left out"


def test_a_damaged_piece_is_left_out_and_said(tmp_path):
    content = bytearray(made("x.aac", tmp_path).read_bytes())
    middle = content.index(content[:4], len(content) // 2) + 12
    content[middle : middle + 20] = bytes(20)
    (tmp_path / "hit.aac").write_bytes(content)
    samples, (remark,) = read_remarked(tmp_path, tmp_path / "hit.aac")
    assert remark.startswith("cannot be decoded after 0.") and remark.endswith("1 piece left out")
    assert len(samples) == audio_length(made("x.aac", tmp_path), RATE) - 1024


def test_a_flac_that_was_cut_off_is_refused(tmp_path):
    path = made("x.flac", tmp_path)
    os.truncate(path, path.stat().st_size * 2 // 3)
    (said,) = find(tmp_path, path).bad
    assert said.startswith(f"{path}: ends or is damaged after 0 samples") and "where its header says 8077; fix" in said


def video(path: Path) -> None:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 16
        file.mux([*stream.encode(av.VideoFrame(16, 16, "yuv420p")), *stream.encode(None)])


def two_rates(path: Path) -> None:
    for rate in (RATE, 44100):
        encode(path.with_suffix(f".{rate}.mp3"), voice(rate), rate, "mp3", "libmp3lame", {"write_xing": "0"})
    path.write_bytes(b"".join(path.with_suffix(f".{rate}.mp3").read_bytes() for rate in (RATE, 44100)))


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("a.wav", lambda path: None, "cannot be read as audio (no such file)"),
        ("a.wav", lambda path: path.mkdir(), "cannot be read as audio (Is a directory)"),
        ("a.wav", lambda path: path.touch(), "cannot be read as audio"),
        ("a.mp3", lambda path: path.write_text("no audio"), "cannot be read as audio (Invalid data"),
        ("a.wav", lambda path: path.write_text("no audio"), "cannot be read as audio (Format not recognised)"),
        ("a.raw", lambda path: path.write_bytes(bytes(8000)), "cannot be read as audio"),
        ("a.mp4", video, "cannot be read as audio (it has no track of sound)"),
        ("a.mp3", two_rates, "has another rate or other channels from sample"),
    ],
)
def test_what_is_not_audio_is_named_in_a_sentence(tmp_path, capfd, name: str, make: Callable, said: str):
    make(tmp_path / name)
    with pytest.raises(UserError) as refused, open_audio(tmp_path / name) as file:
        file.length()
    assert str(refused.value).startswith(f"{tmp_path / name}: {said}") and "\n" not in str(refused.value)
    assert capfd.readouterr().err == ""  # nor does a library write to the terminal


# --- folders, tables and pipes ---------------------------------------------------------------------------------------


def test_all_kinds_are_found_in_folders_and_the_rest_is_counted(tmp_path, capsys):
    folder = tmp_path / "in"
    (folder / "day").mkdir(parents=True)
    for kind in KINDS[:3]:
        kind.write(folder / "day")
    for name in ("a.txt", "b.txt", "day/c.jpg", "README", ".hidden"):
        (folder / name).touch()
    found = find(tmp_path, folder)
    assert sorted(recording.name for recording in found.recordings) == ["day/float", "day/pcm16", "day/pcm24"]
    said = f"{folder}: passed over as not audio, by name: 2 .txt, 1 README, 1 .jpg"
    assert found.passed_over == [said]
    assert len(find_audio(folder)) == 3 and capsys.readouterr().out == f"{said}\n"
    assert {Path(kind.name).suffix for kind in KINDS} <= SUFFIXES


def test_bad_files_do_not_keep_others_from_being_found(tmp_path):
    made("x.m4a", tmp_path), (tmp_path / "bad.wav").touch()
    found = find(tmp_path, tmp_path / "x.m4a", tmp_path / "bad.wav", tmp_path / "gone.wav")
    assert [recording.path.name for recording in found.recordings] == ["x.m4a"]
    assert [line.partition(":")[0] for line in found.bad] == [f"{tmp_path}/bad.wav", f"{tmp_path}/gone.wav"]


@pytest.mark.parametrize("name", ["pcm16.wav", "x.m4a", "pipe.flac", "x.mp3", "crashed.wav"])
def test_what_comes_through_a_pipe_is_the_file(tmp_path, monkeypatch, name: str):
    path = made(name, tmp_path)
    expected, remarks = read_remarked(tmp_path, path)
    with open(path) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        (recording,), _, _ = find(tmp_path, "-")
    assert (recording.name, str(recording.path)) == ("stdin", "stdin")
    said: list[str] = []
    np.testing.assert_array_equal(np.concatenate(list(read_blocks(recording, said.append))), expected)
    assert said == remarks and recording.identity() == find(tmp_path, path).recordings[0].identity()
    del recording
    assert not list((tmp_path / "out").iterdir())


def test_a_fifo_is_read_under_its_own_name(tmp_path):
    path = made("x.m4a", tmp_path)
    os.mkfifo(tmp_path / "talk")
    writer = threading.Thread(target=lambda: (tmp_path / "talk").write_bytes(path.read_bytes()))
    writer.start()
    (recording,), _, _ = find(tmp_path, tmp_path / "talk")
    writer.join()
    assert recording.name == "talk" and sum(map(len, read_blocks(recording, print))) == audio_length(path, RATE)


# --- arrays ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind, zero, full", [("u1", 128, 128), ("i1", 0, 128), ("i2", 0, 2**15), ("i4", 0, 2**31)])
def test_integers_are_scaled_by_their_type(rng, order: str, kind: str, zero: int, full: int):
    integers = rng.integers(-full, full, 1000) + zero
    expected = ((integers - zero) / full).astype(np.float32)
    stored = integers.astype(order + kind)
    np.testing.assert_array_equal(as_float(stored), expected)
    np.testing.assert_array_equal(as_float(np.repeat(stored, 2)[::2]), expected)  # a view, as a channel of several is


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", ">f4", ">f8"])
def test_floats_are_taken_as_they_are(kind: str):
    values = np.array([-2.5, -1, 0, 0.375, 1e-3], dtype=kind)
    assert as_float(values).dtype == np.float32 and as_float(values).dtype.isnative
    np.testing.assert_array_equal(as_float(values), values.astype(np.float32))


@pytest.mark.parametrize("kind", [bool, np.complex64, np.int64, np.uint16, object, "U3"])
def test_types_that_tell_no_full_scale_are_refused(kind: type):
    with pytest.raises(ValueError, match="samples cannot be of type .*; give floats, or int8, uint8, int16 or int32"):
        as_float(np.zeros(9).astype(kind))


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_32"])
def test_an_array_is_what_a_file_of_its_type_is(tmp_path, subtype: str):
    soundfile.write(tmp_path / "a.wav", voice(RATE), RATE, subtype)
    dtype = {"PCM_U8": "u1", "PCM_16": "<i2", "PCM_32": "<i4"}[subtype]
    stored = np.frombuffer((tmp_path / "a.wav").read_bytes(), dtype, len(voice(RATE)), offset=44)
    np.testing.assert_array_equal(as_float(stored), read_audio(tmp_path / "a.wav", RATE))
