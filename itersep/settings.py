"""Settings that come from elsewhere, in yaml files and stored configurations, checked before a parser looks at them.

jsonargparse passes over a part that is null or a number, lets a key stand twice, and imports the class or reads the
file that stands in the place of a part. So names and shapes are checked here first; types are left to it.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from itersep.errors import UserError
from itersep.files import read_text

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
        raise UserError(f"{origin}:{line}: {error.problem or error.context}; mend the yaml") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{origin}: is no yaml ({' '.join(str(error).split())[:100]}); mend it") from None
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
        part: the name of what is checked, in a larger tree
        parts_in_files: a text in place of a part names the yaml file that has it, as seen from the folder of ``origin``

    Raises UserError that names the origin and the setting, for a name that is not known, a part that is no settings
    with names, and a value that is neither plain nor a list of plain ones.
    """
    if not isinstance(settings, dict):
        what = f"'{part}'" if part else "it"
        raise UserError(f"{origin}: {what} is {describe(settings)} where settings with names are expected")
    origins = {}
    for name, value in settings.items():
        full = f"{part}.{name}" if part else f"{name}"
        if name not in known:
            close = get_close_matches(str(name)[:60], known, 1)
            raise UserError(f"{origin}: '{full[:100]}' is no setting" + (f"; is it '{close[0]}'?" if close else ""))
        if isinstance(known[name], dict):
            where = origin
            if parts_in_files and isinstance(value, str):
                where = Path(str(origin)).parent / value
                value = read_yaml(where, f"name another yaml file in {origin}, {full}")
            origins |= check_settings(value, known[name], where, full, parts_in_files)
        elif isinstance(value, PLAIN) or (isinstance(value, list) and all(isinstance(item, PLAIN) for item in value)):
            origins[full] = origin
        else:
            raise UserError(f"{origin}: '{full}' is {describe(value)} where a value is expected")
    return origins


def describe(value: Any) -> str:
    """What a value is, in few words, however large it is."""
    kinds = {dict: "a mapping", list: "a list", str: "a text", int: "a number", float: "a number", type(None): "null"}
    return kinds.get(type(value)) or f"a {type(value).__name__}"


class _Loader(yaml.SafeLoader):
    """Builds plain data, and refuses a key that stands twice: the first would be lost in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        before = set()
        for key in keys:
            if key.value in before:
                raise yaml.constructor.ConstructorError(None, None, f"'{key.value}' stands twice", key.start_mark)
            before.add(key.value)
        return super().construct_mapping(node, deep)
