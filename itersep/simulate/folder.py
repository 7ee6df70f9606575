"""A simulated set on disk: its manifest, its audio, its tables. Whatever stops the work, it goes on from there.

mixtures.jsonl                         every draw of every mixture, and the engine of its rooms
audio/{mix,spk1,spk2,noise1}/<id>.wav  16-bit; mix is the exact sum of the others
wav.scp spk1.scp spk2.scp noise1.scp utt2spk spk2utt utt2dur utt2gain, written when all audio is there

Audio can be made again, so that its files don't wait for the disk one by one: that would take longer than making them.
Instead, all is written out before the tables say that the set is whole, and what a power cut left empty or short
before then is told by its size.
"""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from itersep.data.audio import wav_size, write_audio
from itersep.data.datadir import read_table, write_data_dir, write_table
from itersep.simulate.clips import Clips
from itersep.simulate.manifest import AnyMixture, manifest_text, read_mixtures
from itersep.simulate.render import render_mixture
from itersep.system.errors import UserError
from itersep.system.files import claimed, read_text, write_text
from itersep.system.journal import Journal
from itersep.system.parallel import map_parallel, take_part


def write_manifest(out_dir: str | Path, mixtures: Sequence[AnyMixture]) -> None:
    """Write mixtures.jsonl; if it is there, it must say the same.

    Raises UserError if it doesn't, or if the folder is a data directory of something else.
    """
    path = Path(out_dir) / "mixtures.jsonl"
    text = manifest_text(mixtures)
    if not path.exists() and (path.parent / "wav.scp").exists():
        raise UserError(f"{out_dir}: is a data directory that was not simulated; choose another --out")
    if not path.exists():
        write_text(path, text)
    elif read_text(path, "choose another --out") != text and read_mixtures(path) != list(mixtures):
        raise UserError(f"{path}: was drawn with other options or clips; remove {out_dir} to simulate it again")


def render_set(
    out_dir: str | Path,
    mixtures: Sequence[AnyMixture],
    speech: Clips,
    noise: Clips | None,
    nj: int = 1,
    part: str = "",
) -> int:
    """Render the mixtures that are not there yet, by ``nj`` processes, then write the tables.

    ``part`` "I/N" renders one share of the mixtures beside other processes, and leaves the tables to a call without.
    Returns the number of mixtures rendered now. Raises UserError if a clip can't be read, or while another process
    renders the set; but parts may be rendered side by side.
    """
    with claimed(out_dir, shared=bool(part)):
        return _render_missing(Path(out_dir), mixtures, speech, noise, nj, part)


def _render_missing(
    out_dir: Path, mixtures: Sequence[AnyMixture], speech: Clips, noise: Clips | None, nj: int, part: str
) -> int:
    parts = ["mix", *(f"spk{c}" for c in range(1, len(mixtures[0].speakers) + 1)), *["noise1"] * (noise is not None)]
    mine = take_part(mixtures, part)
    if not part:
        _remove_halves(out_dir, parts)
    journal = Journal(out_dir / "utt2gain", part)
    gains = journal.read()
    there = [_find_sizes(out_dir / "audio" / name) for name in parts]
    missing = [
        mixture
        for mixture in mine
        if mixture.id not in gains or any(sizes.get(mixture.id) != wav_size(mixture.length) for sizes in there)
    ]
    if missing:
        render = partial(_render_files, out_dir=out_dir, speech=speech, noise=noise)
        results = map_parallel(render, missing, nj)
        with journal.writing() as note:
            for utt, gain in tqdm(results, out_dir.name, len(missing), unit="mixture", disable=None):
                gains[utt] = gain
                note(utt, gain)
    if part:
        os.sync()
        return len(missing)
    if missing or not _tables_stand(out_dir, mixtures):
        _write_tables(out_dir, mixtures, parts, gains)
    journal.remove()
    return len(missing)


def _render_files(mixture: AnyMixture, out_dir: Path, speech: Clips, noise: Clips | None) -> tuple[str, str]:
    rendered = render_mixture(mixture, speech, noise)
    signals = {f"spk{c}": ref for c, ref in enumerate(rendered.ref, start=1)} | {"mix": rendered.mix}
    if mixture.noise:
        signals["noise1"] = rendered.noise
    for part, samples in signals.items():
        write_audio(_audio_path(out_dir, part, mixture.id), samples, mixture.sample_rate, durable=False)
    return mixture.id, f"{rendered.gain:.6g}"


def _tables_stand(out_dir: Path, mixtures: Sequence[AnyMixture]) -> bool:
    """Whether the tables are there and name this folder's files; a folder that was moved or copied names others."""
    wav = out_dir / "wav.scp"
    return wav.exists() and read_table(wav) == {one.id: str(_audio_path(out_dir, "mix", one.id)) for one in mixtures}


def _write_tables(out_dir: Path, mixtures: Sequence[AnyMixture], parts: Sequence[str], gains: dict[str, str]) -> None:
    os.sync()
    paths = {part: {mixture.id: _audio_path(out_dir, part, mixture.id) for mixture in mixtures} for part in parts}
    write_table(out_dir / "utt2gain", {mixture.id: gains[mixture.id] for mixture in mixtures})
    for part in parts[1:]:
        write_table(out_dir / f"{part}.scp", paths[part])
    # A mixture is its own speaker: Kaldi's tools want utterances sorted by speaker and by name alike.
    utt2spk = {mixture.id: mixture.id for mixture in mixtures}
    durations_s = {mixture.id: mixture.length / mixture.sample_rate for mixture in mixtures}
    write_data_dir(out_dir, paths["mix"], utt2spk, durations_s)


def _find_sizes(folder: Path) -> dict[str, int]:
    """Mixture -> bytes of its file in ``folder``."""
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        return {Path(entry).stem: entry.stat().st_size for entry in entries if entry.name.endswith(".wav")}


def _remove_halves(out_dir: Path, parts: Sequence[str]) -> None:
    """Remove files written aside by a process that was killed."""
    for part in parts:
        for path in (out_dir / "audio" / part).glob(".*.wav"):
            path.unlink()


def _audio_path(out_dir: Path, part: str, utt: str) -> Path:
    return out_dir / "audio" / part / f"{utt}.wav"
