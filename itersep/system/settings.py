"""Settings that come from elsewhere, in yaml files and stored configurations, checked before a parser looks at them.

jsonargparse passes over a part that is null or a number, lets a key stand twice, and imports the class or reads the
file that stands in the place of a part. So names and shapes are checked here first; types are left to it.
"""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from itersep.system.errors import UserError
from itersep.system.files import read_text

PLAIN = (str, int, float, bool, type(None))


def read_yaml(path: str | Path, if_missing: str = "name another yaml file") -> dict[str, Any]:
    """The settings of a yaml file: plain data, no key twice. Raises UserError that names the file and the line."""
    return parse_yaml(read_text(path, if_missing), path)


def parse_yaml(text: str, origin: object) -> dict[str, Any]:
    """The settings of a yaml text. Raises UserError that names ``origin`` and the line."""
    try:
        tree = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = (error.problem_mark or error.context_mark).line + 1
        raise UserError(f"{origin}:{line}: {error.problem or error.context}; fix the yaml") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{origin}: is not valid yaml ({' '.join(str(error).split())[:100]}); fix it") from None
    if not isinstance(tree, dict):
        raise UserError(f"{origin}: holds {describe(tree)} where settings, as 'name: value', are expected")
    return tree


def check_settings(
    settings: Any, known: Mapping[str, Any], origin: object, part: str = "", parts_in_files: bool = False
) -> dict[str, object]:
    """Check a tree of settings; returns which origin each of them has, by names as 'model.separator.chunk'.

    Args:
        settings: as read
        known: all that there are, as a tree; those left out keep their defaults
        origin: the file that has them
        part: the name of the group in that tree that ``settings`` are of; all of it by default
        parts_in_files: a text in place of a part names the yaml file that has it, as seen from the folder of ``origin``

    Raises UserError that names the origin and the setting, for a name that is not known, a part that is not a settings
    with names, and a value that is neither plain nor a list of plain ones.
    """
    if not isinstance(settings, dict):
        what = f"'{part}'" if part else "it"
        raise UserError(f"{origin}: {what} is {describe(settings)} where settings with names are expected")
    origins, group = {}, find_group(known, part)
    for name, value in settings.items():
        full = f"{part}.{name}" if part else f"{name}"
        if name not in group:
            meant = closest_names(full, value, single_names(known), group_names(known))
            hint = f"; is it {' or '.join(map(repr, meant))}?" if meant else ""
            raise UserError(f"{origin}: '{full[:100]}' is not a setting{hint}")
        if isinstance(group[name], dict):
            where = origin
            if parts_in_files and isinstance(value, str):
                where = Path(str(origin)).parent / value
                value = read_yaml(where, f"name another yaml file in {origin}, {full}")
            origins |= check_settings(value, known, where, full, parts_in_files)
        elif isinstance(value, PLAIN) or (isinstance(value, list) and all(isinstance(item, PLAIN) for item in value)):
            origins[full] = origin
        else:
            raise UserError(f"{origin}: '{full}' is {describe(value)} where a value is expected")
    return origins


def find_group(known: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """The group of that name in a tree of settings, the whole tree for none; None where there is no such group."""
    group: Any = known
    for part in name.split(".") if name else ():
        group = group.get(part) if isinstance(group, Mapping) else None
    return group if isinstance(group, Mapping) else None


def group_names(known: Mapping[str, Any], part: str = "") -> Iterator[str]:
    """The full names of all groups in a tree of settings."""
    for name, value in known.items():
        if isinstance(value, Mapping):
            yield part + name
            yield from group_names(value, f"{part}{name}.")


def single_names(known: Mapping[str, Any], part: str = "") -> Iterator[str]:
    """The full names of all settings in a tree that are not groups."""
    for name, value in known.items():
        if isinstance(value, Mapping):
            yield from single_names(value, f"{part}{name}.")
        else:
            yield part + name


def closest_names(name: str, value: object, single: Iterable[str], groups: Iterable[str]) -> list[str]:
    """The full names, of single settings and of groups, that an unknown one with this value may stand for.

    Those are the ones whose last part is the same or the closest, and of several those in the same group: a name is
    more often given without its group, or with another, than misspelt. A mapping, or a yaml file, is of a group.
    """
    text = value.strip() if isinstance(value, str) else ""
    of_group = isinstance(value, dict) or text.startswith("{") or text.endswith((".yaml", ".yml"))
    group, _, last = name.rpartition(".")
    for names in (groups, single) if of_group else (single, groups):
        by_last: dict[str, list[str]] = {}
        for full in names:
            by_last.setdefault(full.rpartition(".")[2], []).append(full)
        if close := get_close_matches(last[:60], by_last, 1):
            found = by_last[close[0]]
            return [full for full in found if full.rpartition(".")[0] == group] or found
    return []


def describe(value: Any) -> str:
    """What a value is, in few words, however large it is."""
    kinds = {dict: "a mapping", list: "a list", str: "a text", int: "a number", float: "a number", type(None): "null"}
    return kinds.get(type(value)) or f"a {type(value).__name__}"


class _Loader(yaml.SafeLoader):
    """Builds plain data, and refuses a key that appears twice: the first would be lost in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        before = set()
        for key in keys:
            if key.value in before:
                raise yaml.constructor.ConstructorError(None, None, f"'{key.value}' appears twice", key.start_mark)
            before.add(key.value)
        return super().construct_mapping(node, deep)
