"""What is done so far, noted as the work goes on: by one program, or by the tasks of an array side by side."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


class Journal:
    """Values of names, noted one by one until their table is written: in ``.utt2gain`` beside ``utt2gain``.

    Each part I/N of the work has a file of its own, ``.utt2gain_I-N``, since two machines that append to one file of a
    shared disk may lose lines. A line that a kill cut short counts as not written.
    """

    def __init__(self, table: str | Path, part: str = "") -> None:
        self.table = Path(table)
        self.path = self.table.with_name(f".{self.table.name}{'_' * bool(part)}{part.replace('/', '-')}")

    def read(self) -> dict[str, str]:
        """Name -> value: what the table says, then what any part noted."""
        values = {}
        for path in (self.table, *self._files()):
            lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1] if path.exists() else []
            pairs = [line.rsplit(" ", 1) for line in lines]
            values |= {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
        return values

    @contextmanager
    def writing(self) -> Iterator[Callable[[str, object], None]]:
        """Yields a function that notes the value of a name."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open_to_append(self.path) as file:
            yield lambda name, value: print(name, value, file=file, flush=True)

    def remove(self) -> None:
        """Remove what all parts noted; for when the table is written."""
        for path in self._files():
            path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        whole = self.table.with_name(f".{self.table.name}")
        return [whole, *sorted(whole.parent.glob(f"{whole.name}_*"))]


def open_to_append(path: Path) -> TextIO:
    """Open a text to append lines. A last line that a kill cut short is removed: the next must not run into it."""
    if path.exists():
        os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
    return open(path, "a", encoding="utf-8")
