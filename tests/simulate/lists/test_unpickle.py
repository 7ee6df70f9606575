"""Reading pickles as data: what data they hold comes out, all else is refused by name, and nothing is ever run."""

import os
import pickle
import struct
import sys
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from itersep.simulate.lists.unpickle import LARGEST_BYTES, read_pickle
from itersep.system.errors import UserError

TEXT, NUMBER = st.text(max_size=8), st.floats(allow_nan=False) | st.integers(-(2**60), 2**60)
DATA = st.recursive(
    NUMBER | TEXT | st.none() | st.booleans() | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5) | st.tuples(inner, inner),
    max_leaves=30,
)
ONCE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
SCALARS = [np.float64(1.5), np.float32(0.1), np.int64(-3), np.int32(7), np.uint16(9), np.dtype(">f8").type(2.5)]


def read(folder: Path, content: bytes):
    (folder / "list.pkl").write_bytes(content)
    return read_pickle(folder / "list.pkl")


@ONCE
@given(data=DATA, protocol=st.sampled_from([3, 4, 5]))
def test_data_comes_out_as_it_went_in(tmp_path, data, protocol):
    assert read(tmp_path, pickle.dumps(data, protocol)) == data


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_numpy_scalars_come_out_as_numbers_under_both_names_and_without_a_warning(tmp_path, protocol):
    data = [*SCALARS, *SCALARS]  # the second of each type refers to the dtype of the first
    content = pickle.dumps(data, protocol)
    old = pickle.dumps(data, 3).replace(b"numpy._core.", b"numpy.core.")
    assert old != pickle.dumps(data, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for pickled in (content, old):
            numbers = read(tmp_path, pickled)
            assert numbers == data
            assert {type(number) for number in numbers} == {int, float}


def test_byte_order_is_heeded(tmp_path):
    swapped = pickle.dumps(np.float64(1.5), 3).replace(b"X\x01\x00\x00\x00<", b"X\x01\x00\x00\x00>")
    assert read(tmp_path, swapped) == struct.unpack(">d", struct.pack("<d", 1.5))[0]


class Calls:
    """What pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Plain:
    """What pickles as an object with a state."""

    def __init__(self):
        self.x = 1


def dtype(kind: bytes) -> bytes:
    """numpy.dtype(kind, 0, 1)."""
    return b"cnumpy\ndtype\nX" + struct.pack("<I", len(kind)) + kind + b"K\x00K\x01\x87R"


@pytest.mark.parametrize(
    "content, said",
    [
        (pickle.dumps([Calls(os.system, "touch ran")], 3), "names 'posix.system'"),
        (pickle.dumps([Calls(os.system, "touch ran")], 4), "names 'posix.system'"),
        (pickle.dumps([Calls(eval, "open('ran', 'w')")], 2), "names '__builtin__.eval'"),
        (pickle.dumps(Calls(exec, "open('ran', 'w')"), 5), "names 'builtins.exec'"),
        (pickle.dumps(np.arange(3), 3), "names 'numpy._core.numeric._frombuffer'|names 'numpy._core.multiarray._recon"),
        (pickle.dumps(OrderedDict(a=1), 3), "names 'collections.OrderedDict'"),
        (pickle.dumps(Plain(), 3), "Plain'"),
        (pickle.dumps({1, 2}, 4), "the pickle operation EMPTY_SET .byte"),
        (pickle.dumps(bytearray(b"ab"), 5), "the pickle operation BYTEARRAY8"),
        (pickle.dumps([1], 0), "the pickle operation "),
        (b"(ios\nsystem\n.", "the pickle operation INST"),
        (b"\x80\x03(cnumpy\ndtype\no.", "the pickle operation OBJ"),
        (b"\x80\x03cnumpy\ndtype\n)\x81.", "the pickle operation NEWOBJ"),
        (b"\x80\x03Pname\n.", "the pickle operation PERSID"),
        (b"\x80\x03NQ.", "the pickle operation BINPERSID"),
        (b"\x80\x03\x82\x01.", "the pickle operation EXT1"),
        (b"\x80\x03\x84\x01\x00\x00\x00.", "the pickle operation EXT4"),
        (b"\x80\x03" + dtype(b"O8") + b".", "numpy values of the kind 'O8'"),
        (b"\x80\x03" + dtype(b"S8") + b".", "numpy values of the kind 'S8'"),
        (b"\x80\x03" + dtype(b"f8,O8") + b".", "numpy values of the kind 'f8,O8'"),
        (b"\x80\x03cnumpy\ndtype\n]\x85R.", "numpy values of the kind list"),
        (b"\x80\x03cnumpy\ndtype\n)R.", "calls something that is not a function"),
        (b"\x80\x03X\x05\x00\x00\x00numpyK\x01\x85R.", "calls something that is not a function"),
        (b"\x80\x03}}b.", "sets the state"),
        (b"\x80\x03cnumpy\ndtype\n}b.", "sets the state"),
        (b"\x80\x03" + dtype(b"f8") + b"K\x03X\x01\x00\x00\x00O\x86b.", "sets the state"),
        (b"\x80\x03cnumpy.core.multiarray\nscalar\nK\x01K\x02\x86R.", "makes a numpy scalar of something else"),
    ],
)
def test_what_is_no_data_is_refused_by_name_and_not_run(tmp_path, monkeypatch, content, said):
    monkeypatch.chdir(tmp_path)
    modules = set(sys.modules)
    with pytest.raises(UserError, match=said) as refused:
        read(tmp_path, content)
    assert str(refused.value).startswith(f"{tmp_path}/list.pkl: ") and "nothing of it was run" in str(refused.value)
    assert not (tmp_path / "ran").exists() and set(sys.modules) == modules


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle at all\n",
        b"RIFF\x00\x00\x00\x00WAVEfmt ",
        b"\x80\x03.",  # nothing on the stack
        b"\x80\x03K\x01K\x02.",  # too much on it
        b"\x80\x03(K\x01.",
        b"\x80\x03](a.",  # a mark in place of a value
        b"\x80\x03e.",
        b"\x80\x03K\x01K\x02a.",  # appended to a number
        b"\x80\x03}]K\x01s.",  # a list as a key
        b"\x80\x03}(X\x01\x00\x00\x00ku.",  # a key without a value
        b"\x80\x03h\x05.",  # refers to what is not there
        b"\x80\x03cnumpy.core.multiarray\nscalar\n" + dtype(b"f8") + b"C\x03abc\x86R.",  # three bytes for a float
        b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",  # says that it is larger than any memory
        b"\x80\x03\x8b\xff\xff\xff\x7fx.",
        b"\x80\x04B\xff\xff\xff\xffx.",
    ],
)
def test_what_is_no_pickle_or_damaged_is_one_sentence(tmp_path, content):
    with pytest.raises(UserError, match="list.pkl: ") as refused:
        read(tmp_path, content)
    assert len(str(refused.value).splitlines()) == 1 and len(str(refused.value)) < 400 + len(str(tmp_path))


def test_a_place_in_memory_costs_nothing_however_high_its_number(tmp_path):
    assert read(tmp_path, b"\x80\x03K\x01r\xff\xff\xff\xff.") == 1


def test_cut_anywhere_it_is_refused(tmp_path):
    content = pickle.dumps([{"a": [1.5, np.float64(2.5)], "b": "text", "c": None}] * 3, 3)
    for stop in range(len(content)):
        with pytest.raises(UserError):
            read(tmp_path, content[:stop])


@ONCE
@given(at=st.integers(0, 10**6), byte=st.integers(0, 255), protocol=st.sampled_from([3, 4]))
def test_a_changed_byte_is_refused_or_changes_data(tmp_path, at, byte, protocol):
    content = bytearray(
        pickle.dumps([{"a": [1.5, np.float64(2.5)], "b": "text", "c": None, "d": (1, 2)}] * 3, protocol)
    )
    content[at % len(content)] = byte
    try:
        read(tmp_path, bytes(content))
    except UserError as error:
        assert len(str(error).splitlines()) == 1


def test_what_grows_when_it_is_followed_is_not_followed(tmp_path):
    """Lists and tuples that hold the one before twice: 2^60 values in 200 bytes."""
    lists = b"\x80\x03(]q\x00" + b"".join(b"](h%ch%ceq%c" % (k, k, k + 1) for k in range(60)) + b"t."
    assert len(read(tmp_path, lists)) == 61
    tuples = b"\x80\x03)q\x00" + b"".join(b"h%ch%c\x86q%c" % (k, k, k + 1) for k in range(60))
    for use in (b"}h\x3cK\x01s.", b"cnumpy\ndtype\nh\x3c\x85R."):  # as the key of a dict, as the kind of a dtype
        with pytest.raises(UserError, match="a key is not a text|of the kind tuple"):
            read(tmp_path, tuples + use)


def test_too_large_and_missing_files_are_named(tmp_path):
    with open(tmp_path / "large.pkl", "wb") as file:
        file.truncate(LARGEST_BYTES + 1)
    for name, said in (("large.pkl", "is larger than 32 MB"), ("none.pkl", "no such file"), (".", "no such file")):
        with pytest.raises(UserError, match=said):
            read_pickle(tmp_path / name)
    with pytest.raises(UserError, match="no such file"):
        read_pickle("/dev/zero")


def test_the_published_lists_come_out_as_python_reads_them(shared):
    """Its own reader, which would run what is in them, is given the two names that they need, and no others."""

    class Trusting(pickle.Unpickler):
        def find_class(self, module, name):
            known = {"scalar": np._core.multiarray.scalar, "dtype": np.dtype}
            assert (module, name) in (("numpy.core.multiarray", "scalar"), ("numpy", "dtype"))
            return known[name]

    for path in sorted((shared / "data/tac").glob("*.pkl")):
        with open(path, "rb") as file:
            assert read_pickle(path) == Trusting(file).load()
