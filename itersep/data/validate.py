"""Checking a data directory before hours are spent on it."""

import os
import re
from pathlib import Path

import numpy as np
from tqdm import tqdm

from itersep.data.audio import PCM_SCALE, read_audio
from itersep.data.audiofile import open_audio
from itersep.data.datadir import DURATION_TOLERANCE_S, read_table
from itersep.system.errors import UserError

REQUIRED = ("wav.scp", "utt2spk", "spk2utt")
OPTIONAL = ("utt2dur", "utt2gain")
SUMS_CHECKED = 20  # mixtures whose sum is computed
BLOCK = 4000  # samples read at a time in search of one that is not zero


def validate_data_dir(data_dir: str | Path, sample_rate: int | None = None, allow_silent: bool = False) -> "Validation":
    """Check tables and audio of a data directory; ``sample_rate`` None takes the first file's.

    Tables must be sorted, without repetitions, and agree on their keys. Audio must exist, be mono, of one rate, and as
    long as wav.scp and utt2dur say. No utterance, mixture or speaker may be zeros from end to end, unless
    ``allow_silent``. If there are references and noise, then of an evenly spaced sample of mixtures, wav.scp must be
    the sum of spk<c>.scp and noise1.scp, but for the rounding of 16-bit audio.
    """
    check = Validation(Path(data_dir), sample_rate)
    check.read_tables()
    check.check_order()
    check.check_keys()
    check.check_speakers()
    check.check_audio()
    check.check_lengths()
    if not (check.faults or allow_silent):
        check.check_silence()
    if not check.faults:
        check.check_sums()
    return check


class Validation:
    """What is found in a data directory: its size, and the first fault of each kind, as 'file:line: what to mend'."""

    def __init__(self, data_dir: Path, sample_rate: int | None = None) -> None:
        self.data_dir, self.sample_rate = data_dir, sample_rate
        self._tables: dict[str, dict[str, str]] = {}
        self._lengths: dict[str, dict[str, int]] = {}  # scp -> utterance -> samples
        self._faults: dict[str, str] = {}  # kind -> the first of it

    @property
    def faults(self) -> list[str]:
        """One line for each kind of fault."""
        return list(self._faults.values())

    @property
    def utterances(self) -> int:
        """Number of utterances or mixtures."""
        return len(self._tables.get("wav.scp", {}))

    @property
    def seconds(self) -> float:
        """Duration of all utterances or mixtures together."""
        return sum(self._lengths.get("wav.scp", {}).values()) / (self.sample_rate or 1)

    def read_tables(self) -> None:
        """Each table must be there, with a key and a value in every line, no key twice, and not empty."""
        optional = [name for name in OPTIONAL if (self.data_dir / name).exists()]
        targets = sorted(path.name for prefix in ("spk", "noise") for path in self.data_dir.glob(f"{prefix}[0-9]*.scp"))
        for name in (*REQUIRED, *optional, *targets):
            try:
                self._tables[name] = read_table(self.data_dir / name)
            except UserError as error:
                self._faults[f"reading {name}"] = str(error)
        if self._tables.get("wav.scp") == {}:
            self._faults["empty"] = f"{self.data_dir}/wav.scp: is empty; run the stage that makes it"

    def check_order(self) -> None:
        """Keys must be sorted by code point."""
        for name, table in self._tables.items():
            keys = list(table)
            for before, key in zip(keys, keys[1:], strict=False):
                if key < before:
                    self._add("order", name, key, f"'{key}' comes after '{before}'; sort the file (LC_ALL=C sort)")

    def check_keys(self) -> None:
        """All tables must have the keys of wav.scp, but spk2utt, which has speakers."""
        for name in self._tables:
            if name == "spk2utt" or "wav.scp" not in self._tables:
                continue
            for one, other in ((name, "wav.scp"), ("wav.scp", name)):
                for key in self._tables[one]:
                    if key not in self._tables[other]:
                        self._add(f"keys {one} {other}", one, key, f"'{key}' is not in {other}; make both again")

    def check_speakers(self) -> None:
        """spk2utt must be utt2spk turned round."""
        if not {"utt2spk", "spk2utt"} <= self._tables.keys():
            return
        pairs = {(spk, utt) for utt, spk in self._tables["utt2spk"].items()}
        for spk, utts in self._tables["spk2utt"].items():
            for utt in utts.split():
                if (spk, utt) not in pairs:
                    self._add("spk2utt", "spk2utt", spk, f"'{utt}' is not of '{spk}' in utt2spk; make it from utt2spk")
                pairs.discard((spk, utt))
        for spk, utt in sorted(pairs, key=lambda pair: pair[1]):
            self._add("utt2spk", "utt2spk", utt, f"'{utt}' is not under '{spk}' in spk2utt; make that from utt2spk")

    def check_audio(self) -> None:
        """Every file must exist, be readable, mono, not empty, and of one sample rate."""
        scps = {name: table for name, table in self._tables.items() if name.endswith(".scp")}
        files = [(name, utt, path) for name, table in scps.items() for utt, path in table.items()]
        for name, utt, path in tqdm(files, f"checking {self.data_dir}", unit="file", leave=False, disable=None):
            if not os.path.exists(path):
                self._add("missing", name, utt, f"{path}: no such file")
                continue
            try:
                with open_audio(path) as file:
                    rate, channels, length = file.sample_rate, file.channels, file.length()
            except UserError as error:
                self._add("unreadable", name, utt, str(error))
                continue
            self.sample_rate = self.sample_rate or rate
            if channels != 1:
                self._add("channels", name, utt, f"{path}: has {channels} channels; convert it to mono")
            if rate != self.sample_rate:
                rates = f"{rate} Hz where {self.sample_rate} Hz is expected"
                self._add("rate", name, utt, f"{path}: sample rate is {rates}; resample it")
            if length == 0:
                self._add("no samples", name, utt, f"{path}: holds no samples; remove it")
            self._lengths.setdefault(name, {})[utt] = length

    def check_lengths(self) -> None:
        """References and noise must be as long as their mixture, and that as utt2dur says."""
        if "rate" in self._faults:
            return
        wav = self._lengths.get("wav.scp", {})
        for name, lengths in self._lengths.items():
            for utt, length in lengths.items():
                if length != wav.get(utt, length):
                    what = f"{self._tables[name][utt]}: has {length} samples where wav.scp's has {wav[utt]}"
                    self._add("length", name, utt, f"{what}; make both again")
        for utt, text in self._tables.get("utt2dur", {}).items():
            if utt not in wav:
                continue
            length_s = wav[utt] / self.sample_rate
            try:
                agrees = abs(float(text) - length_s) <= DURATION_TOLERANCE_S
            except ValueError:
                agrees = False
            if not agrees:
                self._add("duration", "utt2dur", utt, f"'{utt}' has '{text}' where the audio has {length_s:.4f} s")

    def check_silence(self) -> None:
        """Utterances, mixtures and speakers must have a sample that is not zero; noise may be silent."""
        scps = [(name, table) for name, table in self._tables.items() if re.fullmatch(r"(wav|spk\d+)\.scp", name)]
        files = [(name, utt, path) for name, table in scps for utt, path in table.items()]
        for name, utt, path in tqdm(files, f"listening to {self.data_dir}", unit="file", leave=False, disable=None):
            try:
                silent = self._is_silent(path, self._lengths[name][utt])
            except UserError as error:
                self._faults.setdefault("unreadable", str(error))
                continue
            if silent:
                what = f"{path}: is silent throughout; make it again, or allow it by --allow_silent true"
                self._add("silent", name, utt, what)

    def _is_silent(self, path: str, length: int) -> bool:
        starts = range(0, length, BLOCK)
        return not any(read_audio(path, self.sample_rate, start, BLOCK).any() for start in starts)

    def check_sums(self) -> None:
        """A sample of mixtures must be the sum of their parts; without noise1.scp, parts may be missing."""
        parts = [name for name in self._tables if name.startswith(("spk", "noise")) and name.endswith(".scp")]
        if not {"spk1.scp", "noise1.scp"} <= set(parts):
            return
        utts = list(self._tables["wav.scp"])
        tolerance = (len(parts) + 1) * 0.5 / PCM_SCALE + 1e-6  # each file was rounded
        for utt in utts[:: -(-len(utts) // SUMS_CHECKED)]:
            try:
                mix, *signals = (read_audio(self._tables[name][utt], self.sample_rate) for name in ("wav.scp", *parts))
            except UserError as error:
                self._faults.setdefault("unreadable", str(error))
                continue
            error = np.abs(np.sum(signals, axis=0) - mix).max()
            if error > tolerance:
                names = " + ".join(name.removesuffix(".scp") for name in parts)
                self._add("sum", "wav.scp", utt, f"'{utt}' differs from {names} by {error:.2g}; simulate it again")

    def _add(self, kind: str, name: str, key: str, what: str) -> None:
        if kind not in self._faults:
            line = list(self._tables[name]).index(key) + 1
            self._faults[kind] = f"{self.data_dir}/{name}:{line}: {what}"
