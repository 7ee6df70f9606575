"""What each program does with broken input: one sentence that names it, the right status, and nothing left for whole.

A case is a name, what is broken, the program and its options, the exit status, and what the sentence must hold. The
input is a small experiment from speech to scores, made once by the programs themselves, and copied for each case.
"""

import csv
import ctypes
import logging
import os
import pickle
import re
import resource
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
import torch
import yaml

from itersep.data.audio import write_audio
from itersep.data.datadir import read_table, write_data_dir, write_table
from tests import small
from tests.runs import ROOT, run_here

RATE = 8000
Break = Callable[[], object]

SPEC = "--spec.sample_rate 8000 --spec.length_s 0.25 --spec.t60_s [0.1,0.15]"
SIMULATE = f"utils/simulate.py --speech speech --noise noise --count 3 --out new {SPEC}"
PAPER = "utils/simulate.py --speech paper/speech --noise paper/noise --tac list.pkl --out new"
LIBRIMIX = "utils/simulate_librimix.py --speech paper/speech --noise paper/noise --csv list.csv --out new"
TRAIN = "utils/train.py --config small.yaml --out new"
OVERLAY = f"{TRAIN} --config more.yaml"
RENDERED = f"{TRAIN} --data.mode rendered --data.train set"
RESUME = "utils/train.py --config small.yaml --out exp --train.epochs 2"
SEPARATE = "utils/separate.py --model exp --data set --device cpu --out new"
SCORE = "utils/score.py --data set --separated exp/set"
REPORT = "utils/report.py exp --out RESULTS.md"
PUBLISH = "utils/publish.py exp --trained-on speech --out new"
EXPORT = "utils/export.py exp --out new.onnx"
PREPARE = "utils/prepare_corpus.py --corpus_dir corpus --noise_dir noises --out new --nj 1"
VALIDATE = "utils/validate_data_dir.py set"
VERIFY = "utils/verify.py set"
RECORDING = "itersep-separate rec.wav --model exp --device cpu --out new"
# What a later stage, or a user, would take for whole.
WHOLE = (
    "*.scp",
    "scores.csv",
    "summary.json",
    "best.pt",
    "*.md",
    "*.html",
    "config.json",
    "*.onnx",
    "*_spk?.wav",
    "SHA256SUMS",
)


def run(command: str) -> int:
    """Run a command in this process; its exit status."""
    program, *options = shlex.split(command)
    return run_here(ROOT / program if program.endswith(".py") else program, *options)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all input, and the output of every stage."""
    folder, before = tmp_path_factory.mktemp("input"), os.getcwd()
    generator = np.random.default_rng(0)
    os.chdir(folder)
    for name, rate, seconds, speakers in (
        ("speech", RATE, 0.5, {"s0-0": "s0", "s0-1": "s0", "s1-0": "s1", "s2-0": "s2"}),
        ("noise", RATE, 0.5, {"n0": "n0", "n1": "n1"}),
        ("paper/speech", 16000, 4.0, {"1-7-0001": "1", "2-7-0001": "2"}),
        ("paper/noise", 16000, 1.2, {"n1": "n1"}),
    ):
        paths = {utt: f"{name}/audio/{utt}.wav" for utt in speakers}
        for path in paths.values():
            write_audio(path, generator.uniform(-0.3, 0.3, round(seconds * rate)), rate)
        write_data_dir(name, paths, speakers, dict.fromkeys(paths, seconds))
    for path in ("rec.wav", *(f"corpus/s{s}/a.wav" for s in range(6)), *(f"noises/n{n}.wav" for n in range(3))):
        write_audio(path, generator.uniform(-0.3, 0.3, 2000), RATE)
    Path("small.yaml").write_text(yaml.safe_dump(SMALL))
    Path("list.pkl").write_bytes(pickle.dumps([LISTED], 3))
    with open("list.csv", "w", newline="") as file:
        csv.writer(file).writerows([LINE.keys(), LINE.values()])
    stages = (
        SIMULATE.replace("--out new", "--out set"),
        TRAIN.replace("--out new", "--out exp"),
        SEPARATE.replace("--out new", "--out exp/set"),
        SCORE,
        f"{VERIFY} --write",
    )
    assert [run(stage) for stage in stages] == [0] * len(stages)
    os.chdir(before)
    return folder


@pytest.fixture
def world(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A copy of that folder as the current one. The processes that a case starts end with it."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(logging.root, "handlers", [])
    yield
    while HOLDERS:
        with HOLDERS.pop() as process:
            process.kill()


SMALL = {
    "model": small.MODEL,
    "data": {
        **{"train": "speech", "noise": "noise", "dev": "set", "epoch_size": 2},
        "simulation": {"length_s": 0.25, "t60_s": [0.1, 0.15]},
    },
    "train": small.TRAIN | {"batch_size": 1},
}
LISTED = {
    **{"room_size": [4.0, 5.0, 2.8], "RT60": 0.11, "mic_pos": [[1.0, 1.0, 1.0]], "noise_pos": [[2.0, 1.0, 1.0]]},
    **{"spk_pos": [[2.0, 2.0, 1.0], [3.0, 3.0, 1.0]], "overlap_ratio": 0.5, "start_idx": 100, "spk_snr": 1.0},
    **{"speech": ["a/1-7-0001.flac", "a/2-7-0001.flac"], "noise": "n1.wav", "noise_snr": 10.0},
}
LINE = {"mixture_ID": "1_2", "source_1_path": "a/1-7-0001.flac", "source_1_gain": 0.5,
        "source_2_path": "a/2-7-0001.flac", "source_2_gain": 0.5, "noise_path": "n1.wav",
        "noise_gain": 0.1}  # fmt: skip


# How things break: each of these makes a function that does it.


def nothing() -> None:
    """The command itself is the mistake."""


def text(path: str, content: str) -> Break:
    def write() -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(content.encode())

    return write


def binary(path: str) -> Break:
    return lambda: Path(path).write_bytes(bytes(range(256)))


def edit(path: str, old: str, new: str) -> Break:
    def change() -> None:
        before = Path(path).read_bytes()
        assert old.encode() in before
        Path(path).write_bytes(before.replace(old.encode(), new.encode()))

    return change


def cut(path: str, size: int) -> Break:
    return lambda: os.truncate(path, size)


def remove(path: str) -> Break:
    return lambda: shutil.rmtree(path) if Path(path).is_dir() else os.unlink(path)


def sound(path: str, value: float = 0.1, length: int = 2000, rate: int = RATE, channels: int = 1) -> Break:
    """Audio of one value; 32-bit floats hold any."""
    return lambda: soundfile.write(path, np.full((length, channels), value), rate, subtype="FLOAT")


def folder(path: str) -> Break:
    return lambda: (Path(path).unlink(missing_ok=True), Path(path).mkdir())


def checkpoint(path: str, **parts: object) -> Break:
    return lambda: torch.save(torch.load(path) | parts, path)


def entry(**fields: object) -> Break:
    return lambda: Path("list.pkl").write_bytes(pickle.dumps([LISTED | fields], 3))


def only(speaker: str) -> Break:
    """Leave the utterances of one speaker."""

    def change() -> None:
        keep = [utt for utt, spk in read_table("speech/utt2spk").items() if spk == speaker]
        for name in ("wav.scp", "utt2spk", "utt2dur"):
            table = read_table(f"speech/{name}")
            write_table(f"speech/{name}", {utt: table[utt] for utt in keep})

    return change


def full_disk(size: int) -> Break:
    """No file can grow beyond so many bytes: writing fails as on a full disk."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def read_only(path: str) -> Break:
    """A folder that cannot be written; root gives up the right to do so all the same."""

    def close() -> None:
        os.chmod(path, 0o555)
        rights = get_rights()
        rights[0] &= ~(1 << 1)  # CAP_DAC_OVERRIDE, of the effective ones
        set_rights(rights)

    return close


@contextmanager
def given_back() -> Iterator[None]:
    """What a case takes from this process it has again at the end, before pytest writes a word."""
    limit, rights = resource.getrlimit(resource.RLIMIT_FSIZE), get_rights()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        set_rights(rights)


def get_rights() -> ctypes.Array:
    """The capabilities of this thread."""
    rights = (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capget((ctypes.c_uint32 * 2)(0x20080522, 0), rights) == 0
    return rights


def set_rights(rights: ctypes.Array) -> None:
    assert ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), rights) == 0


HOLDERS: list[subprocess.Popen] = []
HOLD = """
import fcntl, sys
file = open(sys.argv[1], "a+")
fcntl.lockf(file, fcntl.LOCK_EX)
print(flush=True)
input()
"""


def busy(path: str) -> Break:
    """Another process is writing a folder."""

    def start() -> None:
        Path(path).mkdir(exist_ok=True)
        command = [sys.executable, "-c", HOLD, f"{path}/.running"]
        HOLDERS.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        HOLDERS[-1].stdout.readline()  # when it has the lock

    return start


def all_of(*breaks: Break) -> Break:
    return lambda: [one() for one in breaks]


class Case(NamedTuple):
    """A way to break input, and what comes of it: what the sentence holds (``said``, a pattern), and the status."""

    name: str
    command: str
    breaks: Break
    said: str
    status: int = 2


MORE = "more.yaml"
CASES = [
    # Tables
    Case("a table is a folder", SIMULATE, folder("speech/wav.scp"), "speech/wav.scp: is a folder where a file is exp"),
    Case("a data directory is a file", f"{SIMULATE} --speech rec.wav", nothing, "rec.wav/wav.scp: no such file"),
    Case("a table in UTF-16", SIMULATE, lambda: Path("speech/utt2spk").write_text("s0-0 s0\n", "utf-16"),
         "speech/utt2spk:1: is not UTF-8 text"),
    Case("a table with a null character", SIMULATE, edit("speech/wav.scp", "s1-0.wav", "\0"),
         "speech/wav.scp:3: expect"),
    Case("an empty table", SIMULATE, text("speech/wav.scp", ""), "speech/wav.scp: is empty"),
    Case("an id twice", SIMULATE, edit("speech/utt2spk", "s2-0 s2", "s1-0 s2"),
         "speech/utt2spk:4: 's1-0' appears twice"),
    Case("a line without a value", SIMULATE, edit("speech/utt2spk", "s2-0 s2", "s2-0"),
         "utt2spk:4: expected 'key value'"),
    Case("tables of other utterances", SIMULATE, edit("noise/utt2dur", "n1", "n2"),
         "noise: 'n1' stands in only one of"),
    *(Case(f"a duration of {value}", SIMULATE, edit("speech/utt2dur", "s1-0 0.5000", f"s1-0 {value}"),
           f"speech/utt2dur:3: 's1-0' has the duration '{value}', which is not a number of seconds")
      for value in ("nan", "inf", "-1", "0", "1e300", "long")),
    Case("a command in a table", SIMULATE, edit("noise/wav.scp", "noise/audio/n0.wav", "touch ran |"),
         "noise/wav.scp:1: commands are not run"),
    Case("a mixture called like a file elsewhere", SEPARATE, edit("set/wav.scp", "set-000001 ", "../x "),
         "'../x' cannot name a file"),
    Case("digests of another kind", VERIFY, text("set/SHA256SUMS", "00 x\n"),
         "SHA256SUMS:1: expected '<sha256>  <file>'"),
    Case("digests that are no text", VERIFY, binary("set/SHA256SUMS"), "set/SHA256SUMS:2: is not UTF-8 text"),
    # Audio
    Case("text called .wav", SIMULATE, text("speech/audio/s0-0.wav", "no audio"),
         "speech/audio/s0-0.wav: cannot be read"),
    Case("audio cut in its header", SIMULATE, cut("speech/audio/s1-0.wav", 30),
         "speech/audio/s1-0.wav: cannot be read"),
    Case("audio cut in its middle", SIMULATE, all_of(*(cut(f"noise/audio/n{n}.wav", 2000) for n in (0, 1))),
         "noise/audio/n[01].wav: ends [0-9]+ samples before its end by noise/utt2dur"),
    Case("audio without samples", SIMULATE, sound("speech/audio/s2-0.wav", length=0),
         "s2-0.wav: ends [0-9]+ samples before"),
    Case("audio that is a folder", SIMULATE, folder("speech/audio/s1-0.wav"), "speech/audio/s1-0.wav: cannot be read"),
    Case("infinite samples", SIMULATE, sound("speech/audio/s2-0.wav", np.inf, 4000),
         "s2-0.wav: holds samples that are not"),
    Case("a mixture without samples, to train", TRAIN, sound("set/audio/mix/set-000001.wav", length=0),
         "set/audio/mix/set-000001.wav: holds no samples"),
    Case("a reference cut short, to train", RENDERED, all_of(*(cut(f"set/audio/spk1/set-00000{n}.wav",
         1000) for n in range(3))),
         "set/audio/spk1/set-00000[0-2].wav: has 478 samples where its mixture has 2000"),
    Case("samples that are no numbers, to train", RENDERED, sound("set/audio/spk2/set-000002.wav", np.nan),
         "set/audio/spk2/set-000002.wav: holds samples that are not finite"),
    Case("a mixture without samples, to separate", SEPARATE, sound("set/audio/mix/set-000001.wav", length=0),
         "set/audio/mix/set-000001.wav: holds no samples"),
    Case("samples that are no numbers, to separate", SEPARATE, sound("set/audio/mix/set-000001.wav", np.nan),
         "set-000001.wav: holds samples that are not finite"),
    Case("stereo, to separate", SEPARATE, sound("set/audio/mix/set-000001.wav", channels=2),
         "000001.wav: has 2 channels"),
    Case("a stereo reference, to score", SCORE, sound("set/audio/spk1/set-000001.wav", channels=2),
         "set/audio/spk1/set-000001.wav: has 2 channels where one is expected"),
    Case("another rate, to score", SCORE, sound("exp/set/iter1/spk1/set-000001.wav", rate=16000),
         "exp/set/iter1/spk1/set-000001.wav: sample rate is 16000 Hz where 8000 Hz is expected"),
    Case("an estimate without samples", SCORE, sound("exp/set/iter2/spk2/set-000002.wav", length=0),
         "iter2/spk2/set-000002.wav: has 0 samples where its mixture has 2000"),
    Case("a noise of another corpus", LIBRIMIX, sound("paper/noise/audio/n1.wav", length=100, rate=16000),
         "paper/noise/audio/n1.wav: ends 19100 samples before its end by paper/noise/utt2dur"),
    Case("a recording that is a folder without audio", RECORDING.replace("rec.wav", "empty"),
         lambda: Path("empty").mkdir(),
         "empty: has no audio file in it"),
    Case("speech too short to use", PREPARE, nothing,
         "new/train: nothing usable was found for it .corpus/s[0-5]/a.wav: sampled"),
    Case("a corpus of text called .wav", PREPARE, all_of(*(text(f"corpus/s{s}/a.wav", "x") for s in range(6))),
         "new/train: nothing usable was found for it .corpus/s[0-5]/a.wav: unreadable"),
    Case("a corpus that is a file", f"{PREPARE} --corpus_dir rec.wav", nothing, "rec.wav: no such folder"),
    Case("an option in run.sh's spelling", f"{PREPARE} --corpus-dir=rec.wav", nothing, "rec.wav: no such folder"),
    Case("an option misspelt", f"{PREPARE} --corpus rec.wav", nothing, "is it --corpus_dir?"),
    Case("an option cut short", f"{VERIFY} --wr", nothing, "--wr"),
    # Corpora too small
    Case("one speaker", SIMULATE, only("s0"), "speech: has 1 speakers where a mixture needs 2"),
    Case("one speaker, to train", TRAIN, only("s0"), "speech: has 1 speakers where a mixture needs 2"),
    Case("fewer mixtures than the batch", f"{RENDERED} --train.batch_size 8", nothing,
         "train.batch_size is 8, but an epoch has only 2 mixtures"),
    # Options and yaml
    Case("an empty --out", f"{SIMULATE} --out ''", nothing, "--out is empty"),
    Case("an empty --out, to train", f"{TRAIN} --out ''", nothing, "--out is empty"),
    Case("a folder that is a file", f"{SEPARATE} --out rec.wav", nothing, "rec.wav: File exists; name another"),
    Case("a folder below a file", f"{SIMULATE} --out rec.wav/set", nothing,
         "rec.wav/set: Not a directory; name another"),
    Case("a page that is a folder", f"{SCORE} --separated set", nothing, "set/separation.json: missing"),
    Case("the speech as --out", f"{SIMULATE} --out speech", nothing,
         "speech: is a data directory that was not simulated"),
    Case("the mixtures as --out", f"{SEPARATE} --out set", nothing, "set: is a data directory; choose another --out"),
    Case("a limit that is no number", f"{RECORDING} --until-change-db .nan", nothing,
         "--until_change_db: Expected a finite"),
    Case("a number of mixtures that is none", f"{SIMULATE} --count 1.5", nothing,
         "--count: Expected one of int, null.*1.5"),
    Case("samples too few for a mixture", f"{SIMULATE} --spec.length_s 1e-9", nothing, "length_s is 1e-09; at 8000 Hz"),
    Case("a T60 in milliseconds", f"{SIMULATE} --spec.t60_s [100,500]", nothing,
         "t60_s is .100.0, 500.0.; it lies between 0 .anechoic. and"),
    Case("an SNR beyond all measure", f"{SIMULATE} --spec.noise_snr_db [0,1000]", nothing,
         "noise_snr_db is .0.0, 1000.0.; 100 dB"),
    Case("an SNR of 'high'", f"{SIMULATE} --spec more.yaml", text(MORE, "noise_snr_db: high"),
         "more.yaml: spec.noise_snr_db: Expected a tuple. Got value: high"),
    Case("a negative T60", f"{SIMULATE} --spec more.yaml", text(MORE, "t60_s: [-0.1, 0.2]"), "t60_s is .-0.1, 0.2."),
    Case("an unknown key of a specification", f"{SIMULATE} --spec more.yaml", text(MORE, "sorces: 2"),
         "more.yaml: 'spec.sorces' is not a setting; is it 'spec.sources'?"),
    Case("an unknown key", OVERLAY, text(MORE, "model: {separator: {siso_block: 3}}"),
         "more.yaml: 'model.separator.siso_block' is not a setting; is it 'model.separator.siso_blocks'?"),
    Case("an unknown key in a file that a file names", OVERLAY,
         all_of(text(MORE, "data: {simulation: room.yaml}"), text("room.yaml", "t60: 1")),
         "room.yaml: 'data.simulation.t60' is not a setting; is it 'data.simulation.t60_s'?"),
    Case("a part in a file that is missing", OVERLAY, text(MORE, "data: {simulation: no.yaml}"),
         "no.yaml: no such file"),
    Case("a part twice", OVERLAY, text(MORE, "train: {epochs: 2}\nmodel: {}\ntrain: {seed: 3}\n"),
         "more.yaml:3: 'train' appears twice"),
    *(Case(f"a part that is {said}", OVERLAY, text(MORE, f"model: {value}"),
           f"more.yaml: 'model' is {said} where settings")
      for value, said in (("null", "null"), ("3", "a number"), ("[]", "a list"))),
    *(Case(f"yaml that is {said}", OVERLAY, text(MORE, value), f"more.yaml: holds {said} where settings")
      for value, said in (("", "null"), ("[1, 2]", "a list"), ("hello", "a text"))),
    Case("yaml that is cut short", OVERLAY, text(MORE, "train: {epochs: 2"), "more.yaml:1: .*; fix the yaml"),
    Case("yaml with a tab", OVERLAY, text(MORE, "train:\n\tepochs: 2"), "more.yaml:2: found character"),
    Case("yaml that is no text", OVERLAY, binary(MORE), "more.yaml:2: is not UTF-8 text"),
    Case("yaml nested without an end", OVERLAY, text(MORE, "a: " + "[" * 1200), "more.yaml: is not valid yaml"),
    Case("yaml that is a folder", TRAIN.replace("small.yaml", "speech"), nothing,
         "speech: is a folder where a file is exp"),
    Case("a value of another type", OVERLAY, text(MORE, "train: {epochs: 1.5}"),
         "more.yaml: train.epochs: Expected a int"),
    Case("null where a number is expected", OVERLAY, text(MORE, "train: {epochs: null}"),
         "more.yaml: train.epochs: Expected a int"),
    Case("a mapping where a number is expected", OVERLAY, text(MORE, "train: {epochs: {most: 3}}"),
         "more.yaml: 'train.epochs' is a mapping where a value is expected"),
    *(Case(f"an absurd {key}", OVERLAY, text(MORE, f"{part}: {{{key}: {value}}}"), said)
      for part, key, value, said in (
          ("model", "iterations", 0, "model.iterations must be at least 1, not 0"),
          ("train", "seed", -1, "train.seed must lie between 0 and 2.63, not -1"),
          ("train", "threads", 10**8, "train.threads must be at most 1024"),
          ("train", "save_every_s", ".nan", "more.yaml: train.save_every_s: Expected a finite number. Got value: nan"),
          ("optimizer", "lr", ".inf", "more.yaml: optimizer.lr: Expected a finite number. Got value: inf"),
          ("data", "segment_s", 1e-9, "data.segment_s must be a sample at least, not 1e-09"),
          ("model", "dprnn", "{hidden: 1000000000}", "no memory for a network of these sizes"),
      )),
    Case("a learning rate that breaks the network", f"{TRAIN} --optimizer.lr 1e30", nothing,
         "new: no epoch had a finite validation loss; lower optimizer.lr"),
    # Lists of mixtures
    Case("a list that is text", PAPER, text("list.pkl", "hello"), "list.pkl: is cut short, damaged or no pickle file"),
    Case("a list with a wrong field", PAPER, entry(RT60="long"),
         "list.pkl: mixture 0: 'RT60' is 'long' where a number"),
    Case("a list with a room too small", PAPER, entry(room_size=[1.0, 1.0, 1.0]), "list.pkl: mixture 0: the source at"),
    Case("a csv list with another separator", LIBRIMIX, edit("list.csv", ",", ";"),
         "list.csv:1: has no column mixture_ID"),
    Case("a csv list without a column", LIBRIMIX, edit("list.csv", "noise_gain", "gain"),
         "list.csv:1: has no column noise_g"),
    Case("a csv list with a gain beyond all measure", LIBRIMIX, edit("list.csv", "0.1", "1e300"),
         "list.csv:2: noise_gain is '1e300', which is not a gain"),
    Case("a manifest cut short", SCORE, all_of(cut("set/mixtures.jsonl", 700), remove("exp/set/summary.json")),
         "set/mixtures.jsonl:2: .*; simulate the set again"),
    Case("a manifest of other mixtures", SIMULATE.replace("new", "set"), edit("set/mixtures.jsonl", '"length": 2000',
         '"length": 1999'),
         "set/mixtures.jsonl: was drawn with other options"),
    # Checkpoints and experiments
    *(Case(f"a checkpoint that is {name}", SEPARATE, breaks, f"exp/best.pt: {said}")
      for name, breaks, said in (
          ("text", text("exp/best.pt", "hello"), "corrupt, or not"),
          ("cut short", cut("exp/best.pt", 9000), "corrupt, or not"),
          ("a pickle", lambda: Path("exp/best.pt").write_bytes(pickle.dumps({"config": 1})), "corrupt, or not"),
          ("without a configuration", checkpoint("exp/best.pt", config=None), "is not an itersep checkpoint"),
          ("with a configuration in a list", checkpoint("exp/best.pt", config=[1]), "is not an itersep checkpoint"),
          ("with null for a part", checkpoint("exp/best.pt", config={"model": None}),
          ".*'model' is null where settings"),
          ("without weights", checkpoint("exp/best.pt", model={}), "its weights are not of the model"),
          ("with weights that are no tensors", checkpoint("exp/best.pt", model={"a": 1}),
          "its weights are not of the model"),
      )),
    Case("a model that is audio", f"{SEPARATE} --model rec.wav", nothing, "rec.wav: corrupt, or not"),
    Case("a model that is missing, to export", EXPORT.replace("exp ", "no "), nothing,
         "no: no such checkpoint"),
    Case("a run to go on with that is a best.pt", RESUME, lambda: shutil.copy("exp/best.pt", "exp/last.pt"),
         "exp/last.pt: training cannot go on from it"),
    Case("a run to go on with of other sizes", f"{RESUME} --model.dprnn.hidden 9", nothing,
         "exp/last.pt: was trained with model.dprnn.hidden = 8, not 9"),
    Case("a record of a separation with wrong types", SCORE, edit("exp/set/separation.json", '"iterations": 2',
         '"iterations": "2"'),
         "exp/set/separation.json: missing or not readable"),
    *(Case(f"{name} that is {said}", REPORT, text(f"exp/{name}", value), f"exp/{name}.*; run .* again")
      for name in ("run.json", "history.jsonl", "set/summary.json")
      for value, said in (("[1]", "a list"), ('{"a": [', "cut short"))),
    Case("a configuration cut short, for the page", REPORT, text("exp/config.yaml", "model: {"), "exp/config.yaml:1: "),
    Case("a configuration of nothing, for the page", REPORT, text("exp/config.yaml", "model: 3"),
         "exp/config.yaml: is not a conf"),
    Case("a summary without scores", REPORT, text("exp/set/summary.json", "{}"),
         "summary.json: is not a summary of scores"),
    Case("an experiment without a checkpoint, to publish", PUBLISH, remove("exp/best.pt"),
         "exp/best.pt: no such checkpoint"),
    # Disks and other processes
    Case("a full disk, to simulate", SIMULATE, full_disk(3000), "new/audio/.*/new-000000.wav: File too large", 1),
    Case("a full disk, to train", TRAIN, full_disk(20000), "new/last.pt: File too large", 1),
    Case("a full disk, to separate", SEPARATE, full_disk(3000), "new/iter1/spk1/set-00000[0-2].wav: File too large", 1),
    Case("a full disk, to score", SCORE, all_of(remove("exp/set/summary.json"), remove("exp/set/scores.csv"),
         full_disk(500)),
         "exp/set/scores.csv: File too large", 1),
    Case("a full disk, to publish", PUBLISH, full_disk(20000), "new/model.safetensors: File too large", 1),
    Case("a full disk, to separate a recording", RECORDING, full_disk(3000), "new: File too large", 1),
    Case("a read-only folder, to simulate", SIMULATE.replace("new", "done/new"), all_of(lambda: Path("done").mkdir(),
         read_only("done")),
         "done/new: Permission denied", 1),
    Case("a read-only folder, to separate", f"{SEPARATE} --out exp/more", read_only("exp"),
         "exp/more: Permission denied", 1),
    Case("a read-only folder, to train", RESUME, read_only("exp"),
         "exp: Permission denied|exp/[^ ]*: Permission denied", 1),
    Case("a read-only folder, to score", SCORE, all_of(remove("exp/set/summary.json"), read_only("exp/set")),
         "exp/set/[^ ]*: Permission denied", 1),
    Case("two simulations into one folder", SIMULATE, busy("new"), "new: another process writes there"),
    Case("two trainings into one folder", TRAIN, busy("new"), "new: another process writes there"),
    Case("two separations into one folder", SEPARATE, busy("new"), "new: another process writes there"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_ends_in_one_sentence(case: Case, world: None, capfd: pytest.CaptureFixture[str]) -> None:
    with given_back():
        case.breaks()
        before = find_whole()
        capfd.readouterr()
        status = run(case.command)
    out, err = capfd.readouterr()
    *more, last = err.splitlines()
    assert (status, more) == (case.status, []), err
    assert last.startswith(f"{Path(shlex.split(case.command)[0]).name}: ") and re.search(case.said, last), last
    assert "Traceback" not in out and not Path("ran").exists()
    assert find_whole() == before


def find_whole() -> dict[Path, tuple[int, int]]:
    """What is there for a later stage to take: file -> inode and time of change."""
    paths = [path for pattern in WHOLE for path in Path().rglob(pattern)]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}
