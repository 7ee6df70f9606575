"""From recordings as found to Kaldi data directories: decode, clean, join, write.

A recording is a file and the name of its speaker. Files that cannot serve (unreadable, silent, band-limited) are
skipped and counted, never fatal. Recordings of one speaker that are too short are joined, in the order given and of
`TASK_SIZE` recordings at a time, to utterances of at least ``min_s`` seconds. What is written does not depend on the
number of processes.

Other ways to make utterances of recordings are other kinds of `Preparation`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path

import torch
from tqdm import tqdm

from itersep.data.audio import write_audio
from itersep.data.clean import Clip, UnusableError, clean, decode, group_clips, splice
from itersep.data.datadir import read_durations, read_table, write_data_dir
from itersep.data.folders import count_others, split_audio
from itersep.data.layouts import find_speakers
from itersep.system.errors import UserError
from itersep.system.files import check_name, text_digest, write_text
from itersep.system.parallel import map_parallel

TASK_SIZE = 100  # recordings a process takes at a time


@dataclass(frozen=True)
class Recording:
    """An audio file and whose voice it is; a noise is its own speaker."""

    path: Path
    speaker: str


@dataclass(frozen=True)
class Utterance:
    """An utterance of a data directory: its file, its speaker and its length in seconds."""

    path: Path
    speaker: str
    duration_s: float


Made = tuple[dict[str, Utterance], list[tuple[Path, str]]]  # utterances by id; files that cannot serve, and why not


@dataclass(frozen=True)
class Preparation:
    """What one data directory is made from, and how."""

    recordings: Sequence[Recording]

    def make(self, data_dir: Path, first: int, sample_rate: int) -> Made:
        """Make utterances of these recordings, which are of one speaker, whose earlier ones are ``first`` in number."""
        raise NotImplementedError


@dataclass(frozen=True)
class Cleaned(Preparation):
    """Recordings cleaned, and joined where they are short, into files of the data directory.

    ``min_s``: shortest utterance, in seconds. ``max_pause_s``: longer pauses are shortened to this (seconds); None
    leaves them, and only the silence at the ends is cut.
    """

    min_s: float
    max_pause_s: float | None

    def make(self, data_dir: Path, first: int, sample_rate: int) -> Made:
        """Clean the recordings, cut them to clips, and write these."""
        skipped: list[tuple[Path, str]] = []

        def clips() -> Iterator[Clip]:
            for index, recording in enumerate(self.recordings):
                try:
                    yield index, clean(*decode(recording.path), sample_rate, self.max_pause_s)
                except UnusableError as error:
                    skipped.append((recording.path, str(error)))

        speaker, utterances = self.recordings[0].speaker, {}
        for run in group_clips(clips(), round(self.min_s * sample_rate)):
            utt = f"{speaker}-{first + run[0][0]:05d}"
            samples = splice([clip for _, clip in run], sample_rate)
            path = data_dir / "audio" / speaker / f"{utt}.flac"
            write_audio(path, samples, sample_rate)
            utterances[utt] = Utterance(path, speaker, samples.size / sample_rate)
        if not utterances:
            what = f"less than {self.min_s:g} s of sound, which is needed"
            unusable = dict(skipped)
            skipped += [(recording.path, what) for recording in self.recordings if recording.path not in unusable]
        return utterances, skipped


def speech_set(recordings: Sequence[Recording]) -> Preparation:
    """Speech: utterances longer than the cuts that mixtures take of them, with little silence to cut from."""
    return Cleaned(recordings, min_s=5.0, max_pause_s=0.3)


def noise_set(recordings: Sequence[Recording]) -> Preparation:
    """Noise: a clip is an event in time, pauses included."""
    return Cleaned(recordings, min_s=1.0, max_pause_s=None)


@dataclass(frozen=True)
class _Task:
    """Consecutive recordings of one speaker; ``first`` is the index of the first among the speaker's recordings."""

    data_dir: Path
    part: Preparation
    first: int


@dataclass(frozen=True)
class _Done:
    data_dir: Path
    utterances: dict[str, Utterance]
    skipped: list[tuple[Path, str]]
    seen: int


def prepare_sets(sets: Mapping[str, Preparation], out: Path, origin: str, nj: int, sample_rate: int = 16000) -> None:
    """Write a data directory ``out``/<name> for each set, on ``nj`` processes.

    Sets that are whole are left alone; one that is not is made again. ``origin`` says in a line what the data are
    made from, and is kept in ``out``/origin, with a digest of the recordings. Raises UserError, and writes no set, if
    ``out`` was made from something else, if nothing usable is found for a set, or if two files would be one utterance.
    """
    todo = {out / name: sets[name] for name in sets if not (out / name / "wav.scp").exists()}
    _check_origin(out / "origin", origin, sets, todo)
    tasks = [task for data_dir in todo for task in _tasks(data_dir, todo[data_dir])]
    done = []
    with tqdm(
        total=sum(len(task.part.recordings) for task in tasks), unit="file", disable=None if tasks else True
    ) as progress:
        for result in map_parallel(partial(_prepare_task, sample_rate=sample_rate), tasks, nj):
            done.append(result)
            progress.update(result.seen)
    made = {data_dir: _join(data_dir, [result for result in done if result.data_dir == data_dir]) for data_dir in todo}
    for data_dir, utterances in made.items():
        columns = zip(*((item.path, item.speaker, item.duration_s) for item in utterances.values()), strict=True)
        write_data_dir(data_dir, *(dict(zip(utterances, column, strict=True)) for column in columns))
    _report_skipped(
        sorted(skipped for result in done for skipped in result.skipped), sum(result.seen for result in done)
    )
    print(describe(out / name for name in sets))


def describe(data_dirs: Iterable[Path]) -> str:
    """A table of speakers, utterances and minutes, one line a data directory."""
    lines = ["| set | speakers | utterances | minutes |", "|---|---|---|---|"]
    for data_dir in data_dirs:
        durations_s = read_durations(data_dir)
        speakers = len(read_table(data_dir / "spk2utt"))
        lines.append(f"| {data_dir.name} | {speakers} | {len(durations_s)} | {sum(durations_s.values()) / 60:.1f} |")
    return "\n".join(lines)


def _check_origin(path: Path, origin: str, sets: Mapping[str, Preparation], todo: Mapping[Path, Preparation]) -> None:
    """Compare what whole sets were made from, as far as it is known, with what the others would be; note it if new."""
    begun = len(todo) < len(sets)
    recordings = (f"{name} {one.speaker} {one.path}\n" for name in sorted(sets) for one in sets[name].recordings)
    lines = [origin, text_digest("".join(recordings))]
    found = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if begun and found[:1] not in ([], [origin]):
        raise UserError(
            f"{path.parent} was made from {found[0]}, not from {origin}; remove it, and what was made from it"
        )
    if begun and todo and found[1:] not in ([], lines[1:]):
        raise UserError(
            f"{path.parent}: a part of it was made from {origin} with other recordings than are there now, and the "
            "rest would share speakers with it; remove it, and what was made from it"
        )
    if not begun:
        write_text(path, "".join(f"{line}\n" for line in lines))
    elif not found:  # which recordings whole sets were made from is not known
        write_text(path, f"{origin}\n")


def _tasks(data_dir: Path, preparation: Preparation) -> list[_Task]:
    tasks = []
    by_speaker = sorted(preparation.recordings, key=lambda recording: recording.speaker)  # stable: keeps the order
    for _, group in groupby(by_speaker, key=lambda recording: recording.speaker):
        recordings = list(group)
        for first in range(0, len(recordings), TASK_SIZE):
            part = replace(preparation, recordings=recordings[first : first + TASK_SIZE])
            tasks.append(_Task(data_dir, part, first))
    return tasks


def _prepare_task(task: _Task, sample_rate: int) -> _Done:
    torch.set_num_threads(1)  # the processes share the cores
    utterances, skipped = task.part.make(task.data_dir, task.first, sample_rate)
    return _Done(task.data_dir, utterances, skipped, len(task.part.recordings))


def _join(data_dir: Path, results: Sequence[_Done]) -> dict[str, Utterance]:
    """All utterances of a set. Raises UserError where there are none, or two of a name."""
    utterances: dict[str, Utterance] = {}
    for result in results:
        for utt, utterance in result.utterances.items():
            add_utterance(utterances, utt, utterance)
    if not utterances:
        first = next((f"{path}: {reason}" for result in results for path, reason in result.skipped), "no files")
        raise UserError(f"{data_dir}: nothing usable was found for it ({first}); check the corpus")
    return utterances


def add_utterance(utterances: dict[str, Utterance], utt: str, utterance: Utterance) -> None:
    """Add one to those of a set. Raises UserError where another has its name."""
    if utt in utterances:
        raise UserError(
            f"{utterance.path}: would be the utterance '{utt}', and so would {utterances[utt].path}; rename one"
        )
    utterances[utt] = utterance


def _report_skipped(skipped: Sequence[tuple[Path, str]], seen: int) -> None:
    if not skipped:
        return
    reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(reason for _, reason in skipped).most_common())
    print(f"Skipped {len(skipped)} of {seen} files: {reasons}. The first:")
    for path, reason in skipped[:3]:
        print(f"  {path}: {reason}")


def find_audio(folder: Path) -> list[Path]:
    """Audio files below ``folder`` at any depth, sorted; says what is there besides.

    Raises UserError if there is no such folder or none in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    paths, others = split_audio(folder)
    for path in paths:
        check_name(path)
    if not paths:
        raise UserError(f"{folder}: holds no audio file; name a folder of such as .wav, .flac, .m4a")
    if others:
        print(count_others(folder, others))
    return paths


def find_speech(corpus_dir: Path, speaker_level: int | None = None) -> list[Recording]:
    """Recordings of a corpus; the speaker is the folder that `find_speakers` finds, or that at ``speaker_level``.

    Files outside the speakers' folders are left out. Raises UserError where it is not clear whose voice is whose.
    """
    paths = find_audio(corpus_dir)
    speakers = find_speakers([path.relative_to(corpus_dir).parts for path in paths], str(corpus_dir), speaker_level)
    pairs = zip(paths, speakers, strict=True)
    return [Recording(path, _as_key(speaker)) for path, speaker in pairs if speaker is not None]


def find_noise(noise_dir: Path) -> list[Recording]:
    """Recordings of a folder of noises at any depth, each a speaker of its own."""
    return [Recording(path, _as_key(str(path.relative_to(noise_dir)))) for path in find_audio(noise_dir)]


def _as_key(name: str) -> str:
    """A name without the blanks and slashes that tables and file names cannot hold."""
    return "_".join(name.replace("/", " ").split())


def split_speakers(recordings: Sequence[Recording], least: int, what: str) -> dict[str, list[Recording]]:
    """Split into train, dev and test by speaker: a tenth each for dev and test, at least ``least`` speakers in each.

    Which speaker goes where depends on the names alone. Raises UserError if there are too few, calling the speakers
    ``what``.
    """
    speakers = sorted({recording.speaker for recording in recordings}, key=text_digest)
    if len(speakers) < 3 * least:
        raise UserError(f"{len(speakers)} {what} found where at least {3 * least} are needed, {least} for each set")
    held_out = max(least, len(speakers) // 10)
    members = {"dev": speakers[:held_out], "test": speakers[held_out : 2 * held_out], "train": speakers[2 * held_out :]}
    set_of = {speaker: name for name, group in members.items() for speaker in group}
    return {
        name: [recording for recording in recordings if set_of[recording.speaker] == name]
        for name in ("train", "dev", "test")
    }
