"""Published lists of mixtures, in any format: which of their mixtures can be made of the corpora that are here."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from itersep.simulate.clips import Clips
from itersep.simulate.manifest import AnyMixture
from itersep.system.errors import UserError
from itersep.system.files import write_text

FILE_NAME = re.compile(r"[\w.-]+(/[\w.-]+)*", re.ASCII)  # as a list may have it, from the corpus's folder on
NAMED = 3  # missing files that a message names


class Listed(Protocol):
    """A mixture as a list has it: the corpus files that it names, utterances first, then the noise if it has one."""

    files: tuple[str, ...]
    has_noise: bool

    def build(self, speech: Clips) -> AnyMixture:
        """The mixture, when its files are there. Raises UserError for utterances that can't be the list's."""
        ...


@dataclass(frozen=True)
class Selection:
    """The mixtures of a list whose corpus files are there.

    ``left_out`` is how many others there are; ``missing`` maps the files that they lack, under the names that the list
    gives them, to the number of mixtures that each stops.
    """

    mixtures: list[AnyMixture]
    left_out: int
    missing: dict[str, int]

    def describe(self) -> str:
        """How many mixtures lack how many files, and the first of these."""
        names = ", ".join([*list(self.missing)[:NAMED], *["..."] * (len(self.missing) > NAMED)])
        count = self.left_out + len(self.mixtures)
        return f"{self.left_out} of {count} mixtures need missing files ({len(self.missing)}: {names})"

    def report(self, path: str | Path, out_dir: str | Path) -> None:
        """Say what was left out of the list ``path``, and name all missing files in <out_dir>/missing.txt."""
        if self.missing:
            lines = "".join(f"{file} {stopped}\n" for file, stopped in self.missing.items())
            write_text(Path(out_dir) / "missing.txt", lines)
            print(f"{path}: {self.describe()}, and are left out; {out_dir}/missing.txt has all these files")


def clip_name(file: str) -> str:
    """What the clip of a listed file is called in a data directory: the file's name without folder and suffix."""
    return PurePosixPath(file).stem


def select(
    path: str | Path, listed: Sequence[Listed], speech: Clips, noise: Clips | None, allow_missing: bool
) -> Selection:
    """The mixtures of the list ``path`` whose files are all there.

    Raises UserError like `Listed.build`; and if files are missing and that is not allowed, or leaves nothing.
    """
    mixtures, missing = [], Counter()
    for item in listed:
        corpora = [speech] * (len(item.files) - item.has_noise) + [noise] * item.has_noise
        absent = {file for file, clips in zip(item.files, corpora, strict=True) if clip_name(file) not in clips.lengths}
        missing.update(absent)
        if not absent:
            mixtures.append(item.build(speech))
    selection = Selection(mixtures, len(listed) - len(mixtures), {file: missing[file] for file in sorted(missing)})
    if missing and not (allow_missing and mixtures):
        where = " and ".join(clips.data_dir for clips in (speech, noise) if clips)
        raise UserError(
            f"{path}: {selection.describe()} in {where}; prepare the whole corpora"
            + (", or leave these mixtures out with --allow_missing true" if mixtures else "")
        )
    return selection
