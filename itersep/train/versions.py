"""Configurations and weights that earlier versions stored, brought to where this version has them.

A setting that a stored configuration lacks has its default: so the default of a new setting must be what was done
before the setting existed. Settings and weights that moved stand here.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

MOVED_SETTINGS = {  # oldest first
    **{f"model.separator.{name}": f"model.dprnn.{name}" for name in ("features", "hidden", "chunk", "recompute")},
    **{f"data.simulation.{name}": f"model.{name}" for name in ("sample_rate", "sources")},
}
MOVED_WEIGHTS = {  # patterns of names
    r"^simo\.(\d+)\.(norm|bottleneck)\.": r"simo.\1.embedding.\2.",
    r"^mask\.linear\.": "head.linear.",
}

Value = TypeVar("Value")


def update_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A stored configuration with its settings where they are now. Whether it makes sense is for others to check."""
    config = _copy_groups(config)
    for old, new in MOVED_SETTINGS.items():
        *groups, name = old.split(".")
        source = _find(config, groups)
        if source is not None and name in source:
            *groups, new_name = new.split(".")
            target = _find(config, groups, make=True)
            if target is not None and target.setdefault(new_name, source[name]) == source[name]:
                del source[name]
    return config


def update_weights(weights: Mapping[str, Value]) -> dict[str, Value]:
    """Stored weights by the names that they have now."""
    return {_rename(name): value for name, value in weights.items()}


def _rename(name: str) -> str:
    for old, new in MOVED_WEIGHTS.items():
        name = re.sub(old, new, name)
    return name


def _copy_groups(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _copy_groups(value) if isinstance(value, dict) else value for name, value in tree.items()}


def _find(config: dict[str, Any], groups: list[str], make: bool = False) -> dict[str, Any] | None:
    """The group of that path; None where it, or one above it, is missing or is not a group."""
    group: Any = config
    for name in groups:
        group = group.setdefault(name, {}) if make else group.get(name)
        if not isinstance(group, dict):
            return None
    return group
