"""docs/fidelity.md: what its last column points to is there."""

import re
from pathlib import Path

import pytest
from paper.rows import read_paper

from itersep.train.config import flatten

ROOT = Path(__file__).resolve().parents[3]
RECIPE = ROOT / "egs/librispeech_nonspeech"
LINES = [line for line in (ROOT / "docs/fidelity.md").read_text().splitlines() if line.startswith("| ")]
POINTERS = [re.findall("`([^`]+)`", line.rsplit("|", 2)[1]) for line in LINES]


def test_every_line_says_what_changes_it() -> None:
    without = [line for line, names in zip(LINES, POINTERS, strict=True) if not names]
    assert without == [line for line in LINES if line.endswith("| change it |")] and len(without) == 5


@pytest.mark.parametrize("names", [names for names in POINTERS if names], ids=" ".join)
def test_files_names_and_options_exist(names: list[str]) -> None:
    """A name is in the file named before it, or is a setting of an experiment."""
    settings = " ".join(flatten(read_paper(RECIPE / "local/rows.yaml").rows[0].config))
    text = settings
    for name in names:
        program, _, option = name.partition(" --")
        if option:
            path = ROOT / program if "/" in program else RECIPE / program
            assert re.search(rf"^\s*{option.split()[0].replace('-', '_')}\b", path.read_text(), re.MULTILINE)
        elif "/" in name:
            assert (ROOT / name).exists() or (RECIPE / name).exists()
        elif name.endswith((".py", ".yaml")):
            (path,) = [*ROOT.glob(f"itersep/**/{name}"), *RECIPE.glob(f"conf/{name}")]
            text = path.read_text() + settings
        else:
            assert name.rpartition(".")[2] in text
