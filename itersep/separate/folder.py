"""Separation of a data directory into a folder: every mixture, after every iteration, in one pass of the model.

    separation.json         what made the folder: model, mixtures, options
    utt2gain                the factor on all estimates of a mixture; below 1 where they would have clipped
    iter<i>/spk<c>.scp      mixture -> estimate c after iteration i (c is the same output of the network in all)
    iter<i>/spk<c>/<mixture>.wav

The tables are written last: where they are, the folder is whole.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from itersep.data.audio import Subtype, file_subtype, fitting_gain, kept_subtype, read_audio, write_audio
from itersep.data.datadir import read_table, update_table, write_table
from itersep.system.errors import UserError
from itersep.system.files import claimed, content_digest, locked, read_json, write_text
from itersep.system.journal import Journal
from itersep.system.parallel import take_part


@dataclass(frozen=True)
class Separation:
    """What makes a folder of estimates what it is: were any of it another, the estimates would be others."""

    model_sha256: str
    mixtures_sha256: str  # see `files_sha256`
    sources: int
    iterations: int
    sample_rate: int
    device: str


def separate_set(
    model: nn.Module,
    mixtures: Mapping[str, str],
    out_dir: str | Path,
    made_by: Separation,
    notes: Mapping[str, Any] | None = None,
    nj: int = 1,
    part: str = "",
) -> int:
    """Separate mixtures (name -> audio file) into ``out_dir``, ``nj`` at a time; returns how many had to be done.

    ``part`` "I/N" does one share of them beside other processes, and leaves the tables to a call without. ``notes`` go
    into separation.json: "command", and "trained_for", the iterations that the model was trained with.

    What an interrupted run left is gone on with, if it was made by the same model, mixtures and options, wherever they
    and the folder were then; otherwise it is removed and made again. Estimates have as many bits as their mixture's
    file. Raises UserError for audio that cannot be used, for a folder that is not ours, and while
    another process separates into it; but parts may be done side by side.

    Each mixture has one thread: on idle cores that is as fast as all threads on one mixture, on busy ones far faster,
    and the samples do not depend on the number of cores.
    """
    out_dir = Path(out_dir)
    check_names(mixtures)
    mine = take_part(list(mixtures), part)
    if (out_dir / "wav.scp").exists():
        raise UserError(f"{out_dir}: is a data directory; choose another --out")
    with claimed(out_dir, shared=bool(part)):
        return _separate_missing(model, mixtures, mine, out_dir, made_by, notes, nj, part)


def _separate_missing(
    model: nn.Module,
    mixtures: Mapping[str, str],
    mine: Sequence[str],
    out_dir: Path,
    made_by: Separation,
    notes: Mapping[str, Any] | None,
    nj: int,
    part: str,
) -> int:
    with locked(out_dir / ".lock") if part else nullcontext():  # of several parts, the first starts the folder
        if read_separation(out_dir) != made_by:
            start_folder(out_dir, made_by, notes)
    journal, gains = Journal(out_dir / "utt2gain", part), read_gains(out_dir)
    files = {utt: _estimate_files(out_dir, utt, made_by) for utt in mixtures}
    todo = [utt for utt in mine if utt not in gains or not all(file.exists() for row in files[utt] for file in row)]

    def work(utt: str) -> float:
        mix = read_audio(mixtures[utt], made_by.sample_rate, remedy="resample it, or take a model of that rate")
        if not mix.size:
            raise UserError(f"{mixtures[utt]}: holds no samples; remove it from the data")
        est = separate(model, mix, made_by.iterations, made_by.device)
        subtype = kept_subtype(file_subtype(mixtures[utt]))
        return _write_estimates(utt, est, files[utt], made_by.sample_rate, subtype)

    if todo:
        done = len(mine) - len(todo)
        with journal.writing() as note, _single_threads(nj) as pool:
            results = zip(todo, pool.map(work, todo), strict=True)
            text = f"separating into {out_dir}"
            for utt, gain in tqdm(results, text, initial=done, total=len(mine), unit="mixture", disable=None):
                gains[utt] = gain
                note(utt, gain)
    if not part:
        _write_tables(out_dir, files, gains, anew=bool(todo))
        journal.remove()
        (out_dir / ".lock").unlink(missing_ok=True)
    return len(todo)


@torch.inference_mode()
def separate(model: nn.Module, mix: np.ndarray, iterations: int, device: str = "cpu") -> np.ndarray:
    """Estimates (I, C, T), float32, of one mixture (T,) after each iteration, in the order the model gives them."""
    batch = torch.from_numpy(mix).to(device)[None]
    return torch.cat([layers[-1] for layers in model.iterate(batch, iterations)]).cpu().numpy()


def read_separation(out_dir: str | Path) -> Separation | None:
    """What made a folder, or None where separation.json is missing or of another kind."""
    try:
        record = read_json(Path(out_dir) / "separation.json", "run separation first", "run separation again")
        made_by = Separation(**{field.name: record[field.name] for field in fields(Separation)})
    except (UserError, KeyError):
        return None
    typed = all(type(getattr(made_by, field.name)) is field.type for field in fields(Separation))
    return made_by if typed and min(made_by.sources, made_by.iterations, made_by.sample_rate) > 0 else None


def read_trained_for(out_dir: str | Path) -> int | None:
    """The iterations that a folder's model was trained with, if separation.json tells."""
    record = read_json(Path(out_dir) / "separation.json", "run separation first", "run separation again")
    return record.get("trained_for")


def start_folder(out_dir: Path, made_by: Separation, notes: Mapping[str, Any] | None = None) -> None:
    """Clear a folder of what another model or other options made there, and say in it what makes it now.

    The record goes last, so that what it stands beside is never older than itself.
    """
    old = [path for path in out_dir.glob("iter*") if path.is_dir()]
    if old and not (out_dir / "separation.json").exists():
        raise UserError(f"{old[0]}: was not made by a separation; choose another --out, or remove it")
    for folder in old:
        shutil.rmtree(folder)
    for name in ("utt2gain", "scores.csv", "scores.csv.gz", "summary.json"):
        (out_dir / name).unlink(missing_ok=True)
    Journal(out_dir / "utt2gain").remove()
    write_text(out_dir / "separation.json", json.dumps(asdict(made_by) | dict(notes or {}), indent=2) + "\n")


def read_gains(out_dir: str | Path) -> dict[str, float]:
    """utt2gain of a folder of estimates, or what is noted so far; values that are not factors are left out."""
    gains = {}
    for utt, text in Journal(Path(out_dir) / "utt2gain").read().items():
        with suppress(ValueError):
            gains[utt] = float(text)
    return {utt: gain for utt, gain in gains.items() if 0.0 < gain <= 1.0}


def model_sha256(model: nn.Module, config: Mapping[str, Any]) -> str:
    """A digest of what a model computes: its configuration and its weights."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, weights in model.state_dict().items():
        digest.update(name.encode() + weights.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def files_sha256(files: Mapping[str, str]) -> str:
    """A digest of names and contents: the same wherever the files lie, another if one of them was changed.

    Reads all of them. Raises UserError that names a missing file.
    """
    digest = hashlib.sha256()
    for name in tqdm(sorted(files), "reading", unit="file", delay=2, leave=False, disable=None):
        try:
            digest.update(f"{name} {content_digest(files[name])}\n".encode())
        except FileNotFoundError:
            raise UserError(f"{files[name]}: no such file, though it is listed; run the stage that makes it") from None
    return digest.hexdigest()


def read_mixtures(data_dir: str | Path) -> dict[str, str]:
    """wav.scp of a data directory, sorted by name. Raises UserError if there is none or it is empty."""
    mixtures = read_table(Path(data_dir) / "wav.scp")
    if not mixtures:
        raise UserError(f"{data_dir}/wav.scp: lists no mixture; run simulation first")
    return dict(sorted(mixtures.items()))


def check_names(mixtures: Mapping[str, str]) -> None:
    """Raise UserError for a name that cannot be a file's name."""
    for utt in mixtures:
        if Path(utt).name != utt:
            raise UserError(f"'{utt}' cannot name a file; rename it in wav.scp")


@contextmanager
def _single_threads(nj: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads in each of which torch takes no further ones; what waits is dropped if the block fails."""
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(nj, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)


def _estimate_files(out_dir: Path, utt: str, made_by: Separation) -> list[list[Path]]:
    """The files of a mixture's estimates, (I, C)."""
    return [
        [out_dir / f"iter{i}" / f"spk{c}" / f"{utt}.wav" for c in range(1, made_by.sources + 1)]
        for i in range(1, made_by.iterations + 1)
    ]


def _write_estimates(utt: str, est: np.ndarray, files: list[list[Path]], sample_rate: int, subtype: Subtype) -> float:
    """Write estimates (I, C, T), all by the one gain that is returned, so that they compare by ear."""
    if not np.isfinite(est).all():
        raise UserError(f"{utt}: the model's estimates are not finite numbers; train it again")
    gain = fitting_gain(float(np.abs(est).max(initial=0.0)))
    for i, row in enumerate(files):
        for c, file in enumerate(row):
            write_audio(file, est[i, c] * np.float32(gain), sample_rate, subtype=subtype)
    return gain


def _write_tables(out_dir: Path, files: Mapping[str, list[list[Path]]], gains: Mapping[str, float], anew: bool) -> None:
    """utt2gain in order, and the tables of the estimates; where they stand already, only if asked to, or if moved."""
    folders = [[file.parent for file in row] for row in next(iter(files.values()))]
    tables = {folder.with_suffix(".scp"): (i, c) for i, row in enumerate(folders) for c, folder in enumerate(row)}
    if anew or not all(path.exists() for path in tables):
        write_table(out_dir / "utt2gain", gains)
    for path, (i, c) in tables.items():
        update_table(path, {utt: files[utt][i][c] for utt in files})
