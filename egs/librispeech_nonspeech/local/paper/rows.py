"""The rows of a paper's tables: which training stands behind each number, and what the paper says it is.

A row is conf/<domain>.yaml of its recipe with conf/rows/<overlay>.yaml laid over it. An experiment belongs to a row if
model and objective are the same; whatever else differs is its scale.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from itersep.models.cost import count_macs, count_parameters
from itersep.system.cli import parse
from itersep.system.errors import UserError
from itersep.train.config import MAY_CHANGE, config_parser, flatten, plain_config

ROWS = Path(__file__).resolve().parent.parent / "rows.yaml"
NETWORK = ("model.", "objective.")
# what makes a run neither larger nor smaller
NO_SCALE = {*MAY_CHANGE, "train.seed"} - {"train.epochs", "train.patience"}


@dataclass(frozen=True)
class PaperRow:
    """One training of the paper, and all that the paper reports of it."""

    recipe: Path  # its folder
    domain: str
    overlay: str
    numbers: Mapping[int, Mapping[int, float]]  # table -> inference iterations -> SI-SDR in dB

    @property
    def name(self) -> str:
        """That of its experiment, at the paper's scale."""
        return f"{self.domain}_{self.overlay}"

    @property
    def configs(self) -> list[str]:
        """The yaml files, each laid over the one before, as seen from the recipe."""
        return [f"conf/{self.domain}.yaml", f"conf/rows/{self.overlay}.yaml"]

    @property
    def iterations(self) -> int:
        """How many inference iterations the tables need."""
        return max(self.values)

    @property
    def trained_for(self) -> int:
        """Iterations in training."""
        return self.config["model"]["iterations"]

    @property
    def is_swept(self) -> bool:
        """Whether the tables have it after several numbers of inference iterations."""
        return len(self.values) > 1

    @cached_property
    def values(self) -> dict[int, float]:
        """Inference iterations -> SI-SDR in dB, of all tables."""
        return {iterations: db for numbers in self.numbers.values() for iterations, db in numbers.items()}

    @cached_property
    def config(self) -> dict[str, Any]:
        """The configuration at the paper's scale, defaults included."""
        return resolve_configs([str(self.recipe / config) for config in self.configs])

    @cached_property
    def parameters(self) -> int:
        """Trained numbers of its network."""
        return count_parameters(self.config["model"])

    def gmacs(self, iterations: int) -> float:
        """10^9 multiply-accumulates a second of audio of so many iterations."""
        model, length_s = self.config["model"], self.config["data"]["simulation"]["length_s"]
        return count_macs(model, round(length_s * model["sample_rate"]), iterations) / length_s / 1e9

    def scale_of(self, config: Mapping[str, Any]) -> dict[str, tuple[Any, Any]] | None:
        """In what a complete configuration differs from this row's: setting -> (its value, the row's).

        None: it is of another row. Fresh and rendered mixtures are no difference in scale.
        """
        differences = compare_configs(config, self.config)
        if any(key.startswith(NETWORK) for key in differences):
            return None
        if "data.mode" in differences:
            differences = {key: both for key, both in differences.items() if key not in ("data.mode", "data.train")}
        return differences


@dataclass(frozen=True)
class PaperNumber:
    """One number of the paper: a row, after some inference iterations."""

    row: PaperRow
    iterations: int
    db: float  # SI-SDR


@dataclass(frozen=True)
class PaperTables:
    """A paper's tables: its rows in their order, titles by number, and how much data there was of each kind."""

    rows: Sequence[PaperRow]
    titles: Mapping[int, str]
    sizes: Mapping[str, int]  # by the names that `data_sizes` gives
    questions: Mapping[str, Sequence[tuple[PaperNumber, PaperNumber]]]  # pairs whose differences answer them

    def table(self, number: int) -> Iterator[tuple[PaperRow, int, float]]:
        """The numbers of a table: row, inference iterations, and the paper's SI-SDR in dB."""
        for row in self.rows:
            for iterations, value in row.numbers.get(number, {}).items():
                yield row, iterations, value


def compare_configs(config: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """In what a complete configuration differs from a wanted one: setting -> (its value, the wanted one).

    The seed and the machine it ran on are left out.
    """
    found, wanted = flatten(config), flatten(wanted)
    keys = (found.keys() | wanted.keys()) - NO_SCALE
    differing = [key for key in sorted(keys) if found.get(key) != wanted.get(key)]
    return {key: (found.get(key), wanted.get(key)) for key in differing}


def read_paper(path: str | Path) -> PaperTables:
    """Read a table of rows, such as egs/librispeech_nonspeech/local/rows.yaml. Raises UserError that names it."""
    recipe = Path(path).resolve().parent.parent
    try:
        tree = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        numbers: dict[tuple[str, str], dict[int, dict[int, float]]] = {}
        for table, domains in tree["tables"].items():
            for domain, overlays in domains.items():
                for overlay, values in overlays.items():
                    values = {int(iterations): float(value) for iterations, value in values.items()}
                    numbers.setdefault((domain, overlay), {})[int(table)] = values
        titles = {int(table): str(tree["titles"][table]) for table in tree["tables"]}
        rows = {row.name: row for row in (PaperRow(recipe, *key, tables) for key, tables in numbers.items())}
        questions = {
            str(question): [(_number(rows, first), _number(rows, second)) for first, second in pairs]
            for question, pairs in tree.get("questions", {}).items()
        }
        return PaperTables(list(rows.values()), titles, dict(tree["sizes"]), questions)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; name the recipe's table of rows") from None
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError):
        raise UserError(f"{path}: is not a table of rows; see egs/librispeech_nonspeech/local/rows.yaml") from None


def _number(rows: Mapping[str, PaperRow], text: str) -> PaperNumber:
    """The number that ``text`` names: freq_simo1_siso2 2. KeyError if the paper has none such."""
    name, iterations = text.split()
    return PaperNumber(rows[name], int(iterations), rows[name].values[int(iterations)])


def resolve_configs(paths: Sequence[str]) -> dict[str, Any]:
    """The configuration that yaml files give when laid over each other, defaults included. Raises UserError."""
    parser = config_parser()
    return plain_config(parser, parse(parser, [f"--config={path}" for path in paths]))
