"""Whose voice a file is: known corpora from any folder down, other corpora by the one level that can be speakers."""

from pathlib import Path

import pytest

from itersep.data.layouts import find_speakers
from itersep.data.prepare import find_speech
from itersep.system.errors import UserError

CORPORA = {  # files of three speakers, as the corpora have them; the level of the speakers
    "LibriSpeech": (["LibriSpeech/train-clean-100/19/198/19-198-0000.flac",
                     "LibriSpeech/train-clean-100/19/227/19-227-0000.flac",
                     "LibriSpeech/train-clean-100/198/19/198-19-0001.flac",
                     "LibriSpeech/dev-clean/84/121123/84-121123-0000.flac"], 3, {"19", "198", "84"}),
    "LibriTTS": (["LibriTTS/dev-clean/84/121123/84_121123_000007_000001.wav",
                  "LibriTTS/dev-clean/174/50561/174_50561_000003_000000.wav",
                  "LibriTTS/test-clean/61/70968/61_70968_000000_000000.wav"], 3, {"84", "174", "61"}),
    "MLS": (["mls_polish/train/audio/2190/1656/2190_1656_000000.flac",
             "mls_polish/train/audio/281/1656/281_1656_000000.flac",
             "mls_polish/dev/audio/6892/10049/6892_10049_000000.flac"], 4, {"2190", "281", "6892"}),
    "AISHELL": (["data_aishell/wav/train/S0002/BAC009S0002W0122.wav",
                 "data_aishell/wav/dev/S0724/BAC009S0724W0121.wav",
                 "data_aishell/wav/test/S0764/BAC009S0764W0121.wav"], 4, {"S0002", "S0724", "S0764"}),
    "AISHELL-3": (["train/wav/SSB0005/SSB00050001.wav", "train/wav/SSB0009/SSB00090001.wav",
                   "test/wav/SSB0273/SSB02730001.wav"], 3, {"SSB0005", "SSB0009", "SSB0273"}),
    "WSJ0": (["wsj0/si_tr_s/01a/01ao030f.wav", "wsj0/si_dt_05/050/050a0501.wav", "wsj0/sd_tr_l/00a/00aa0101.wav",
              "wsj0/sd_dt_20/00a/00ab0102.wav"], 3, {"01a", "050", "00a"}),
    "VCTK": (["VCTK-Corpus-0.92/wav48_silence_trimmed/p225/p225_001_mic1.flac",
              "VCTK-Corpus-0.92/wav48_silence_trimmed/p226/p226_001_mic1.flac",
              "VCTK-Corpus-0.92/wav48_silence_trimmed/s5/s5_001_mic1.flac"], 3, {"p225", "p226", "s5"}),
    "TIMIT": (["TIMIT/TRAIN/DR1/FCJF0/SA1.WAV", "TIMIT/TRAIN/DR2/MARC0/SX108.WAV",
               "TIMIT/TEST/DR1/FAKS0/SI943.wav"], 4, {"FCJF0", "MARC0", "FAKS0"}),
    "VoxCeleb": (["dev/aac/id00012/21Uxsk56VDQ/00001.wav", "dev/aac/id00015/0fijmz4vTVU/00001.wav",
                  "test/aac/id00017/01dfn2spqyE/00001.wav"], 3, {"id00012", "id00015", "id00017"}),
    "parts with names of their own": (["corpus/train/anna/a.wav", "corpus/train/ben/a.wav",
                                       "corpus/test-2/carl/b.wav"], 3, {"anna", "ben", "carl"}),
    "one folder a speaker": (["my/anna/a.wav", "my/ben/wav/a.wav", "my/carl/x/y/b.wav"], 2, {"anna", "ben", "carl"}),
    "speakers in the names of files": (["my/anna/mon/anna_1.wav", "my/ben/tue/ben_1.wav",
                                        "my/carl/tue/carl_1.wav"], 2, {"anna", "ben", "carl"}),
    "a folder in every speaker's": (["cmu_us_bdl_arctic/wav/arctic_a0001.wav", "cmu_us_slt_arctic/wav/arctic_a0001.wav",
                                     "cmu_us_awb_arctic/wav/arctic_a0001.wav"], 1,
                                    {"cmu_us_bdl_arctic", "cmu_us_slt_arctic", "cmu_us_awb_arctic"}),
}  # fmt: skip
SESSIONS = ["anna/day1/a.wav", "anna/day2/a.wav", "ben/day1/a.wav"]


def split(paths: list[str], below: int = 0) -> list[tuple[str, ...]]:
    return [tuple(path.split("/"))[below:] for path in paths]


@pytest.mark.parametrize("paths, level, speakers", CORPORA.values(), ids=CORPORA)
def test_speakers_are_found_from_every_folder_above_them(paths, level, speakers):
    for above in range(level):
        assert set(find_speakers(split(paths, above), "corpus")) == speakers
        assert set(find_speakers(split(paths, above), "corpus", level - above)) == speakers
    below = [("more", "levels", *path) for path in split(paths)]
    assert set(find_speakers(below, "corpus")) == speakers


def test_corpora_side_by_side_are_each_read_their_own_way():
    known = [CORPORA[name] for name in ("LibriSpeech", "AISHELL", "VCTK", "TIMIT")]
    together = [path for paths, _, _ in known for path in split(paths)]
    assert set(find_speakers(together, "corpus")) == set.union(*(speakers for _, _, speakers in known))


def test_a_corpus_with_two_readings_is_refused_with_both():
    with pytest.raises(UserError) as told:
        find_speakers(split(SESSIONS), "my")
    assert str(told.value) == (
        "my: does not tell which folders are speakers; choose --speaker-level 1 for 2 speakers (anna, ben), or "
        "--speaker-level 2 for 2 speakers (day1, day2)"
    )
    assert find_speakers(split(SESSIONS), "my", 1) == ["anna", "anna", "ben"]
    assert find_speakers(split(SESSIONS), "my", 2) == ["day1", "day2", "day1"]


def test_parts_of_a_corpus_are_never_taken_for_speakers():
    stray = [*CORPORA["LibriSpeech"][0], "LibriSpeech/dev-clean/x.flac"]
    with pytest.raises(UserError, match="the folders of dev-clean/x.flac are called like parts of a corpus"):
        find_speakers(split(stray, 1), "corpus")
    speakers = find_speakers(split(stray, 1), "corpus", 2)
    assert speakers == ["19", "19", "198", "84", None]


def test_a_level_deeper_than_all_folders_is_refused():
    with pytest.raises(UserError, match="no file in it lies in 3 folders"):
        find_speakers(split(SESSIONS), "my", 3)


def test_recordings_have_the_speakers_of_their_paths(tmp_path: Path) -> None:
    for name in [*CORPORA["LibriSpeech"][0], "cover.wav"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = {recording.path.name: recording.speaker for recording in find_speech(tmp_path)}
    assert found == {Path(name).name: Path(name).parts[2] for name in CORPORA["LibriSpeech"][0]}
    assert {recording.speaker for recording in find_speech(tmp_path, 2)} == {"train-clean-100", "dev-clean"}
