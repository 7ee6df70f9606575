"""Which files of a folder are audio, and what to say of the others."""

import glob
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

SUFFIXES = {  # looked for in folders; a file that is named may have any
    *(".wav", ".wave", ".bwf", ".rf64", ".w64", ".aif", ".aiff", ".aifc", ".caf", ".au", ".snd", ".sph", ".voc"),
    *(".flac", ".wv", ".tta", ".ape", ".mp3", ".mp2", ".ogg", ".oga", ".opus", ".spx", ".aac", ".m4a", ".m4b", ".wma"),
    *(".ac3", ".eac3", ".amr", ".awb", ".gsm", ".g722"),
    *(".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".webm", ".mkv", ".mka", ".avi", ".wmv", ".asf", ".flv"),
}
NAMED = 5  # kinds of other files that are named


def split_audio(folder: Path) -> tuple[list[Path], list[Path]]:
    """Files below a folder at any depth, audio by their suffix and others, both sorted.

    Files and folders whose name begins with a dot are left out; linked folders are not.
    """
    found = map(Path, glob.iglob(f"{glob.escape(str(folder))}/**/*", recursive=True))
    files = sorted(path for path in found if not path.is_dir())
    audio = [path for path in files if path.suffix.lower() in SUFFIXES]
    return audio, sorted(set(files) - set(audio))


def count_others(folder: Path, others: Sequence[Path]) -> str:
    """A line on what was passed over in a folder, by kind: a suffix, or a name that has none."""
    kinds = Counter(path.suffix or path.name for path in others).most_common()
    named = [f"{count} {kind}" for kind, count in kinds[:NAMED]]
    rest = sum(count for _, count in kinds[NAMED:])
    named += [f"{rest} of other kinds"] if rest else []
    return f"{folder}: passed over as not audio, by name: {', '.join(named)}"
