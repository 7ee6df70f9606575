"""Whose voice a file of a corpus is, told by its path: the layouts of known corpora, or the folders of one level.

Levels count from the outside: of <part>/<speaker>/<chapter>/<file>, the speaker's folder is at level 2.
"""

import re
from collections.abc import Sequence

from itersep.system.errors import UserError

Folders = tuple[str, ...]  # those of a file, from the outermost; then its name

# How known corpora end their paths, wherever their parts lie. Group 1 is the speaker.
KNOWN = {
    "LibriSpeech, LibriTTS, MLS": r"(\d+)/(\d+)/\1[-_]\2[-_][^/]+",  # train-clean-100/19/198/19-198-0000.flac
    "AISHELL": r"(S(?:SB)?\d{4})/[^/]*\1[^/]*",  # wav/train/S0002/BAC009S0002W0122.wav
    "WSJ": r"(\w{3})/\1\w{5}[.]\w+",  # si_tr_s/01a/01ao030f.wav
    "VCTK": r"(p\d{3}|s5)/\1_[^/]+",  # wav48_silence_trimmed/p225/p225_001_mic1.flac
    "TIMIT": r"DR[1-8]/([FM]\w{3}\d)/S[AIX]\d+[.][^/]+",  # TRAIN/DR1/FCJF0/SA1.WAV
    "VoxCeleb": r"(id\d{5})/[^/]+/\d{5}[.]\w+",  # dev/id10001/1zcIwhmdeo4/00001.wav
}
KNOWN_PATH = [re.compile(f"(?:.*/)?{pattern}", re.IGNORECASE) for pattern in KNOWN.values()]
# What folders of parts, conditions and formats are called, and speakers are not.
NO_SPEAKER = re.compile(
    r"(tr|cv|tt|train|training|dev|valid|validation|test|eval|si|sd|clean|other|wavs?|flac|audio|clips)\d*([-_. ].*)?",
    re.IGNORECASE,
)


def find_speakers(paths: Sequence[Folders], corpus: str, level: int | None = None) -> list[str | None]:
    """The speaker of each path; None where it has no folder at that ``level``.

    Without a level, paths of known corpora say it themselves. Of others, the level is the only one that can be the
    speakers': one with several folders that are not called like parts of a corpus. Where several levels can be, it is
    the outermost if the names of the files begin with its folders', else the corpus is refused.
    Raises UserError, calling it ``corpus``, where no path has a speaker, or the level is not clear.
    """
    if level is None:
        known = [_match_known(path) for path in paths]
        in_folders = [path for path in paths if len(path) > 1]
        if in_folders and all(speaker for path, speaker in zip(paths, known, strict=True) if len(path) > 1):
            return known
        level = _find_level(in_folders, corpus)
    speakers = [path[level - 1] if len(path) > level else None for path in paths]
    if not any(speakers):
        raise UserError(f"{corpus}: no file in it lies in {level} folders, which --speaker-level asks for; lower it")
    return speakers


def _match_known(path: Folders) -> str | None:
    joined = "/".join(path)
    return next((match[1] for pattern in KNOWN_PATH if (match := pattern.fullmatch(joined))), None)


def _find_level(paths: Sequence[Folders], corpus: str) -> int:
    if not paths:
        raise UserError(f"{corpus}: audio must lie in one folder a speaker, as {corpus}/<speaker>/*.wav")
    shallowest = min(paths, key=len)
    names = {level: sorted({path[level - 1] for path in paths}) for level in range(1, len(shallowest))}
    possible = [level for level in names if not all(map(NO_SPEAKER.fullmatch, names[level]))]
    if not possible:
        raise UserError(
            f"{corpus}: the folders of {'/'.join(shallowest)} are called like parts of a corpus, not like a speaker; "
            "move the file into a speaker's folder, or choose by --speaker-level which folders are speakers"
        )
    possible = [level for level in possible if len(names[level]) > 1] or possible[:1]
    first, *others = possible
    if not others or all(path[-1].startswith(path[first - 1]) for path in paths):
        return first
    readings = (f"--speaker-level {k} for {_describe(names[k])}" for k in possible)
    raise UserError(f"{corpus}: does not tell which folders are speakers; choose {', or '.join(readings)}")


def _describe(names: Sequence[str]) -> str:
    return f"{len(names)} speakers ({', '.join(names[:2])}{', ...' if len(names) > 2 else ''})"
