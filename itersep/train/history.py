"""history.jsonl of an experiment: one record an epoch."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from itersep.system.errors import UserError
from itersep.system.files import parse_json, read_lines

AGAIN = "run the stage that writes it again"


def loss_order(record: Mapping[str, Any]) -> tuple[bool, float]:
    """Sort key of epochs: the validation loss, those without a number last."""
    return math.isnan(record["valid_loss"]), record["valid_loss"]


def read_history(path: Path) -> list[dict[str, Any]]:
    """The records of a history.jsonl, none where it is missing. Raises UserError that names a bad line."""
    lines = read_lines(path, "") if path.exists() else []
    history = [parse_json(line, f"{path}:{number}", AGAIN) for number, line in enumerate(lines, start=1)]
    for number, record in enumerate(history, start=1):
        if not record.keys() >= {"epoch", "valid_loss"}:
            raise UserError(f"{path}:{number}: is not a record of an epoch; {AGAIN}")
    return history
