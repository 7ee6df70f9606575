"""Kaldi tables: what is written reads back, sorted as Kaldi sorts; what is no table is named."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from itersep.data.datadir import read_durations, read_table, write_data_dir, write_table
from itersep.system.errors import UserError

LETTERS = st.characters(whitelist_categories=("L", "N", "P", "S"))
KEYS = st.text(LETTERS, min_size=1)
VALUES = st.lists(st.text(LETTERS, min_size=1), min_size=1).map(" ".join).filter(lambda v: "|" not in (v[0], v[-1]))


@given(table=st.dictionaries(KEYS, VALUES))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_tables_read_back_sorted_by_code_point(tmp_path, table):
    write_table(tmp_path / "t", table)
    assert read_table(tmp_path / "t") == table
    keys = [line.split(" ")[0].encode() for line in (tmp_path / "t").read_text(encoding="utf-8").split("\n")[:-1]]
    assert keys == sorted(keys)  # as LC_ALL=C sort does


@pytest.mark.parametrize("blank", [" ", "\t", "   "])
def test_paths_may_hold_spaces_and_any_blank_leads_to_them(tmp_path, blank):
    (tmp_path / "wav.scp").write_text(f"u{blank}/data/my corpus/a b.wav\n")
    assert read_table(tmp_path / "wav.scp") == {"u": "/data/my corpus/a b.wav"}


@pytest.mark.parametrize(
    "text, said",
    [
        ("a 1\nb\n", ":2: expected 'key value', found 'b'"),
        ("a 1\n\nb 2\n", ":2: expected 'key value', found ''"),
        ("a 1\nb 2\na 3\n", ":3: 'a' appears twice"),
        ("a sph2pipe a.sph |\n", ":1: commands are not run"),
        ("a | rm -r x\n", ":1: commands are not run"),
    ],
)
def test_bad_lines_are_named(tmp_path, text, said):
    (tmp_path / "t").write_text(text)
    with pytest.raises(UserError) as refused:
        read_table(tmp_path / "t")
    assert f"{tmp_path / 't'}{said}" in str(refused.value)


def test_files_that_are_no_tables_are_named(tmp_path):
    with pytest.raises(UserError, match="t: no such file"):
        read_table(tmp_path / "t")
    (tmp_path / "t").write_bytes(b"a \xff\n")
    with pytest.raises(UserError, match="t:1: is not UTF-8"):
        read_table(tmp_path / "t")


def test_data_dir_has_speakers_both_ways_and_durations(tmp_path):
    wav = {"b-1": "b.wav", "a-2": "a2.wav", "a-1": "a1.wav"}
    write_data_dir(tmp_path, wav, {"b-1": "b", "a-2": "a", "a-1": "a"}, {"b-1": 1.0, "a-2": 2.25, "a-1": 1 / 3})
    assert (tmp_path / "spk2utt").read_text() == "a a-1 a-2\nb b-1\n"
    assert (tmp_path / "utt2spk").read_text() == "a-1 a\na-2 a\nb-1 b\n"
    assert (tmp_path / "wav.scp").read_text() == "a-1 a1.wav\na-2 a2.wav\nb-1 b.wav\n"
    assert read_durations(tmp_path) == pytest.approx({"a-1": 1 / 3, "a-2": 2.25, "b-1": 1.0}, abs=5e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["spk2utt", "utt2dur", "utt2spk", "wav.scp"]


def test_duration_that_is_no_number_is_named(tmp_path):
    write_table(tmp_path / "utt2dur", {"a": "1.5", "b": "long"})
    with pytest.raises(UserError, match="utt2dur:2: 'b' has the duration 'long'"):
        read_durations(tmp_path)
