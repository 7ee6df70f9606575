"""Kaldi-style data directories: text tables of ``key value`` lines, sorted by key.

    wav.scp       utterance -> audio file        utt2spk   utterance -> speaker
    spk1.scp ...  mixture -> target file         spk2utt   speaker -> utterances, made from utt2spk
    noise1.scp    mixture -> noise file          utt2dur   utterance -> seconds

A value runs from the first blank to the end of the line, so that paths with spaces work. Relative paths are taken
from the current folder, as in Kaldi.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from itersep.system.errors import UserError
from itersep.system.files import read_lines, write_text

BLANKS = re.compile(r"[ \t]+")
LONGEST_S = 1e7  # four months: more is no recording's duration
DURATION_TOLERANCE_S = 0.01  # other tools round utt2dur to hundredths
ARCHIVED = re.compile(r"[.]ark(:\d+)?(\[[\d:,]*\])?$")  # Kaldi's x.ark:offset, with a range of it


def read_table(path: str | Path) -> dict[str, str]:
    """Read ``key value`` lines into a dict in the file's order.

    Raises UserError that names the file and line for a missing file, an empty value, a key twice, or what Kaldi allows
    in place of a file: a command (nothing in a data directory is ever run), or a place in an archive.
    """
    path = Path(path)
    table: dict[str, str] = {}
    for number, line in enumerate(read_lines(path, "run the stage that makes it"), start=1):
        key, value = _parse_line(line)
        if not value or "\0" in line:
            raise UserError(f"{path}:{number}: expected 'key value', found '{line[:100]}'")
        if value.endswith("|") or value.startswith("|"):
            raise UserError(f"{path}:{number}: commands are not run; write the audio to a file and name it here")
        if path.suffix == ".scp" and ARCHIVED.search(value):
            raise UserError(f"{path}:{number}: places in archives are not read; write the audio to a file and name it")
        if key in table:
            raise UserError(f"{path}:{number}: '{key}' appears twice")
        table[key] = value
    return table


def write_table(path: str | Path, table: Mapping[str, object]) -> None:
    """Write ``key value`` lines sorted by key (by code point, as LC_ALL=C sorts), aside and renamed.

    Raises UserError for a key or value that would not read back: one with line breaks, or a key with blanks.
    """
    write_text(path, _table_text(path, table))


def update_table(path: str | Path, table: Mapping[str, object]) -> None:
    """`write_table`, unless the file says the same already."""
    path, text = Path(path), _table_text(path, table)
    if not path.exists() or path.read_bytes() != text.encode():
        write_text(path, text)


def _table_text(path: str | Path, table: Mapping[str, object]) -> str:
    lines = {key: f"{key} {table[key]}" for key in sorted(table)}
    for key, line in lines.items():
        if _parse_line(line) != (key, str(table[key])) or "\n" in line:
            raise UserError(f"{path}: cannot hold {key!r} with {str(table[key])!r}; rename what has such blanks in it")
    return "".join(f"{line}\n" for line in lines.values())


def read_durations(data_dir: str | Path) -> dict[str, float]:
    """utt2dur of a data directory: utterance -> seconds. Raises UserError that names the line of a bad one."""
    durations = {}
    for number, (utt, text) in enumerate(read_table(Path(data_dir) / "utt2dur").items(), start=1):
        try:
            durations[utt] = float(text)
        except ValueError:
            durations[utt] = 0.0
        if not 0.0 < durations[utt] < LONGEST_S:
            raise UserError(
                f"{data_dir}/utt2dur:{number}: '{utt}' has the duration '{text[:40]}', which is not a number of seconds"
            )
    return durations


def _parse_line(line: str) -> tuple[str, str]:
    """Key and value, the latter empty where there is none; blanks are spaces and tabs alone, as in Kaldi."""
    key, *value = BLANKS.split(line.strip(" \t\r"), maxsplit=1)
    return key, "".join(value)


def write_data_dir(
    data_dir: str | Path, wav: Mapping[str, object], utt2spk: Mapping[str, str], durations_s: Mapping[str, float]
) -> None:
    """Write wav.scp, utt2spk, spk2utt and utt2dur; wav.scp comes last, so that its presence means a whole directory."""
    data_dir = Path(data_dir)
    spk2utt: dict[str, list[str]] = {}
    for utt in sorted(utt2spk):
        spk2utt.setdefault(utt2spk[utt], []).append(utt)
    write_table(data_dir / "utt2spk", utt2spk)
    write_table(data_dir / "spk2utt", {spk: " ".join(utts) for spk, utts in spk2utt.items()})
    write_table(data_dir / "utt2dur", {utt: f"{seconds:.4f}" for utt, seconds in durations_s.items()})
    write_table(data_dir / "wav.scp", wav)
