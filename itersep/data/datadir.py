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

from itersep.errors import UserError
from itersep.files import write_text

ARCHIVED = re.compile(r"[.]ark(:\d+)?(\[[\d:,]*\])?$")  # Kaldi's x.ark:offset, with a range of it


def read_table(path: str | Path) -> dict[str, str]:
    """Read ``key value`` lines into a dict in the file's order.

    Raises UserError that names the file and line for a missing file, an empty value, a key twice, or what Kaldi allows
    in place of a file: a command (nothing in a data directory is ever run), or a place in an archive.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the stage that makes it") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not UTF-8 text") from None
    table: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        key, value = [*line.strip().split(maxsplit=1), "", ""][:2]
        if not value:
            raise UserError(f"{path}:{number}: expected 'key value', found '{line}'")
        if value.endswith("|") or value.startswith("|"):
            raise UserError(f"{path}:{number}: commands are not run; write the audio to a file and name it here")
        if path.suffix == ".scp" and ARCHIVED.search(value):
            raise UserError(f"{path}:{number}: places in archives are not read; write the audio to a file and name it")
        if key in table:
            raise UserError(f"{path}:{number}: '{key}' stands twice")
        table[key] = value
    return table


def write_table(path: str | Path, table: Mapping[str, object]) -> None:
    """Write ``key value`` lines sorted by key (by code point, as LC_ALL=C sorts), aside and renamed."""
    write_text(path, "".join(f"{key} {table[key]}\n" for key in sorted(table)))


def read_durations(data_dir: str | Path) -> dict[str, float]:
    """utt2dur of a data directory: utterance -> seconds. Raises UserError naming the utterance of a bad line."""
    durations = {}
    for utt, text in read_table(Path(data_dir) / "utt2dur").items():
        try:
            durations[utt] = float(text)
        except ValueError:
            raise UserError(f"{data_dir}/utt2dur: '{utt}' has the duration '{text}', which is no number") from None
    return durations


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
