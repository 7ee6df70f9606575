"""Readers of files from elsewhere, each with examples and with what it must keep to whatever bytes it is given.

Each takes bytes, and may raise UserError alone. tests/test_hostile.py feeds them by hypothesis, tools/fuzz.py by
atheris.
"""

import atexit
import pickle
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from itersep.data.datadir import read_table, write_table
from itersep.simulate.clips import load_clips
from itersep.simulate.draw import SimulationSpec
from itersep.simulate.lists.tac import read_list
from itersep.simulate.manifest import (
    DryMixture,
    Mixture,
    NoiseDraw,
    ScaledClip,
    SpeakerDraw,
    manifest_text,
    read_mixtures,
)
from itersep.system.cli import parse
from itersep.train.config import config_parser, plain_config

MEMORY = Path("/dev/shm")  # where there is one: waiting for a disk would take most of the time
FOLDER = Path(tempfile.mkdtemp(prefix="itersep-hostile-", dir=MEMORY if MEMORY.is_dir() else None))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
SPEC, PARSER = SimulationSpec(), config_parser()
TABLES, BETWEEN = ("wav.scp", "utt2spk", "utt2dur"), b"--\n"


def read_pickle_list(data: bytes) -> None:
    """Every mixture of a list that is taken can be written as a line, and read again."""
    listed = read_list(_write("list.pkl", data), SPEC, "set")
    text = manifest_text(item.mixture for item in listed)
    assert read_mixtures(_write("mixtures.jsonl", text.encode())) == [item.mixture for item in listed]


def read_data_dir(data: bytes) -> None:
    """Three tables: what is read reads the same again when it is written, and clips have lengths."""
    for name, table in zip(TABLES, data.split(BETWEEN), strict=False):
        table = read_table(_write(name, table))
        write_table(FOLDER / "again", table)
        assert read_table(FOLDER / "again") == table
    clips = load_clips(FOLDER, 8000)
    assert clips.utts and all(0 <= length < 2**62 for length in clips.lengths.values())


def read_manifest(data: bytes) -> None:
    """What is read reads the same again when it is written."""
    mixtures = read_mixtures(_write("mixtures.jsonl", data))
    text = manifest_text(mixtures)
    assert read_mixtures(_write("mixtures.jsonl", text.encode())) == mixtures


def read_config(data: bytes) -> None:
    """What is taken is a whole configuration, which reads the same again when it is written."""
    config = plain_config(PARSER, parse(PARSER, ["--config", str(_write("config.yaml", data))]))
    text = yaml.safe_dump(config).encode()
    assert plain_config(PARSER, parse(PARSER, ["--config", str(_write("config.yaml", text))])) == config


def _write(name: str, data: bytes) -> Path:
    (FOLDER / name).write_bytes(data)
    return FOLDER / name


NOISE = NoiseDraw("n0", 0, (3.0, 3.0, 2.0), 15.0)
ROOM = {"sample_rate": 8000, "length": 4000, "room_m": (5.0, 4.0, 3.0), "t60_s": 0.25, "mic_m": (1.0, 1.0, 1.0)}
SPEAKERS = (SpeakerDraw("s0-0", 7, (2.0, 1.0, 1.5), 0.0), SpeakerDraw("s1-0", 0, (2.0, 2.0, 1.5), 2.5))
MIXTURES = [
    Mixture("a", **ROOM, overlap=0.5, speakers=SPEAKERS, noise=NOISE, peak_limit=0.9),
    DryMixture("b", 8000, 4000, (ScaledClip("s0-0", 0.5), ScaledClip("s1-0", 1.5)), None),
]
LISTED = {
    "room_size": [4.0, 5.0, 2.8],
    "RT60": 0.2,
    "mic_pos": [[1.0, 1.0, 1.0]],
    "spk_pos": [[2.0, 2.0, 1.0], [3.0, 3.0, 1.0]],
    "noise_pos": [[2.0, 1.0, 1.0]],
    "overlap_ratio": 0.5,
    "speech": ["a/1/7/1-7-0001.flac", "a/2/7/2-7-0001.flac"],
    "noise": "n1.wav",
    "start_idx": 100,
    "spk_snr": np.float64(1.0),
    "noise_snr": np.float64(10.0),
}
CONFIG = {
    "model": {"filterbank": {"kind": "stft", "filters": 33}, "dprnn": {"chunk": 8}, "sample_rate": 8000},
    "objective": {"layerwise": True},
    "data": {"mode": "fresh", "noise": None, "simulation": {"t60_s": [0.1, 0.5]}},
    "optimizer": {"lr": 1e-3, "schedule": "cosine"},
    "train": {"epochs": 3, "precision": "bf16"},
}
READERS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "pickle": (read_pickle_list, [pickle.dumps([LISTED], protocol) for protocol in (3, 4, 5)]),
    "data_dir": (read_data_dir, [b"a-0 a 0.wav\nb-0\tb.wav\n--\na-0 a\nb-0 b\n--\na-0 1.5\nb-0 2\n"]),
    "manifest": (read_manifest, [manifest_text(MIXTURES).encode()]),
    "config": (read_config, [yaml.safe_dump(CONFIG).encode(), b"{train: {seed: 7}}\n"]),
}
