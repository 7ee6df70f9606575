"""How a program meets its user: typed options, one sentence for a mistake, an exit status that tells.

A mistake is named by the option that has it, and where that is the case by the yaml file.

Exit status: 0 done; 1 a failure of the machine (disk full, no permission), or of some of several inputs; 2 a mistake of
the user; 130 interrupted; 143 terminated.
"""

import math
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import zip_longest
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from itersep.system.errors import Failures, Terminated, UserError
from itersep.system.settings import check_settings, closest_names, find_group, group_names, parse_yaml, read_yaml
from itersep.system.signals import stoppable


def run_program(main: Callable[..., Any], argv: Sequence[str] | None = None) -> None:
    """Make options from the signature and docstring of ``main``, parse the command line, call ``main``, and exit."""
    parser = function_parser(main)

    def action() -> None:
        main(**instantiate(parser, parse(parser, argv)))

    guard(action)


def function_parser(main: Callable[..., Any]) -> ArgumentParser:
    """A parser with one option for each parameter of ``main``; its help is the docstring of ``main``."""
    parser = make_parser((main.__doc__ or "").split("Args:")[0].strip())
    parser.add_function_arguments(main, as_group=False, fail_untyped=True, sub_configs=True)
    return parser


def make_parser(description: str) -> ArgumentParser:
    """An empty parser whose mistakes `parse` turns into UserError, and that takes no abbreviation for an option."""
    return ArgumentParser(description=description, exit_on_error=False, allow_abbrev=False)


def parse(parser: ArgumentParser, argv: Sequence[str] | None = None) -> Namespace:
    """Parse the command line; a mistake raises UserError in one line."""
    words = [_spell(parser, word) for word in (sys.argv[1:] if argv is None else argv)]
    origins = _check_yaml(parser, words)
    try:
        parsed = parser.parse_args(words)
        check_values(parser, parsed)
    except (ArgumentError, TypeError, ValueError) as error:
        raise UserError(_name_origin(one_line(error), words, origins) + _suggest(parser, one_line(error))) from None
    if vars(parsed).get("out") == "":
        raise UserError("--out is empty; name a file or folder to write")
    return parsed


def _spell(parser: ArgumentParser, word: str) -> str:
    """An option as the parser knows it: --corpus-dir, as run.sh has it, is --corpus_dir too."""
    name, equals, value = word.partition("=")
    known = _option_names(parser)
    other = "--" + name[2:].replace("-", "_")
    return other + equals + value if name.startswith("--") and name not in known and other in known else word


def _suggest(parser: ArgumentParser, message: str) -> str:
    """The options that an unknown one may stand for; nothing for other mistakes."""
    unknown = re.search(r"nrecognized arguments: --([^\s=]+)[\s=]?(\S*)", message)
    if not unknown:
        return ""
    groups = list(group_names(known_settings(parser)))
    options = (option[2:] for option in _option_names(parser) if option.startswith("--"))
    meant = closest_names(*unknown.groups(), [option for option in options if option not in (*groups, "help")], groups)
    return f"; is it {' or '.join(f'--{option}' for option in meant)}?" if meant else ""


def _option_names(parser: ArgumentParser) -> list[str]:
    return [option for action in parser._actions for option in action.option_strings]


def check_values(parser: ArgumentParser, parsed: Namespace) -> None:
    """What parsing lets through: null where a type has none, and floats without end. Raises TypeError, ValueError."""
    parser.validate(parsed, skip_unset=False)
    for name, value in parsed.items():
        values = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(number, float) and not math.isfinite(number) for number in values):
            raise ValueError(f'Parser key "{name}": Expected a finite number. Got value: {value}')


def known_settings(parser: ArgumentParser) -> dict[str, Any]:
    """All that a parser has options for, as a tree of their defaults."""
    return {name: value for name, value in parser.get_defaults().as_dict().items() if name != "config"}


def _check_yaml(parser: ArgumentParser, words: Sequence[str]) -> dict[str, object]:
    """Check the settings that a command line gives as yaml; returns which file, or option, each of them is of."""
    known = known_settings(parser)
    origins: dict[str, object] = {}
    for option, value in read_options(words):
        part = "" if option == "config" else option
        if not option or find_group(known, part) is None or not value:  # the parser will complain of the last
            continue
        if part and value.lstrip().startswith("{"):
            settings, origin = parse_yaml(value, f"--{option}"), f"--{option}"
        else:
            settings, origin = read_yaml(value), value
        origins |= check_settings(settings, known, origin, part, parts_in_files=True)
    return origins


def read_options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Names and values of the options on a command line."""
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            yield name[2:], value if equals else following


def _name_origin(message: str, words: Sequence[str], origins: Mapping[str, object]) -> str:
    """A message of the parser in our words: where the option is from, what is expected, what was found."""
    message = re.sub(r"<class '(?:\w+[.])*(\w+)'>", r"\1", message).replace("typing.Literal", "one of ")
    union = r"Does not validate .* Subtypes: \[(.*?)\] Errors: .* Given value: (.*)"
    message = re.sub(union, r"Expected one of \1. Got value: \2", message).replace("NoneType", "null")
    match = re.match(r'.*Parser key "([\w.]+)": (.*)', message)  # the innermost
    if not match:
        return message
    name, what = match.groups()
    given = name in (option for option, _ in read_options(words)) or name not in origins
    return f"--{name}: {what}" if given else f"{origins[name]}: {name}: {what}"


def instantiate(parser: ArgumentParser, parsed: Namespace) -> dict[str, Any]:
    """Build what the options describe: name -> object. A value that a constructor refuses raises UserError."""
    try:
        return {name: value for name, value in vars(parser.instantiate(parsed)).items() if name != "config"}
    except ValueError as error:
        raise UserError(one_line(error)) from None


def one_line(error: Exception) -> str:
    """The text of an error without its line breaks."""
    return " ".join(str(error).split())


def command_line() -> str:
    """The command that started this program, as it can be typed again in the current folder."""
    return shlex.join([os.path.relpath(sys.argv[0]), *sys.argv[1:]])


def guard(action: Callable[[], Any]) -> None:
    """Run a program's action and exit with the status that fits how it ended."""
    _take_names_as_utf8()
    prog = sys.argv[0].rpartition("/")[2]
    try:
        with stoppable():
            action()
    except UserError as error:
        _fail(2, f"{prog}: {error}")
    except Failures as error:
        lines = [*error.problems, str(error)] if error.asked > 1 else error.problems
        _fail(2 if len(error.problems) == error.asked else 1, *(f"{prog}: {line}" for line in lines))
    except BrokenPipeError:
        sys.exit(1)
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        _fail(2, f"{prog}: {error.filename}: {error.strerror}; name another file or folder")
    except (MemoryError, RuntimeError) as error:
        if not _is_short_of_memory(error):
            raise
        _fail(
            1,
            f"{prog}: there is not enough memory; ask for less at a time: in training by train.batch_size, "
            "train.accumulate or model.dprnn.recompute, else by a shorter --window or a smaller --nj",
        )
    except OSError as error:
        _fail(1, f"{prog}: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}")
    except KeyboardInterrupt:
        _fail(130, f"{prog}: interrupted; the same command resumes it")
    except Terminated:
        _fail(143, f"{prog}: terminated; the same command resumes it")
    sys.exit(0)


def _is_short_of_memory(error: Exception) -> bool:
    """Whether Python, torch's allocators, or a loader that the kernel has killed say so."""
    said = ("out of memory", "can't allocate memory", "by signal: Killed")
    return isinstance(error, MemoryError) or any(words in str(error) for words in said)


def _take_names_as_utf8() -> None:
    """Start the program anew where Python takes file names by a locale of another encoding: tables are UTF-8."""
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, sys.orig_argv)


def _fail(status: int, *lines: str) -> None:
    """End with lines in which what a file or name may hold can't act on the terminal; they come last in any log."""
    with suppress(OSError):
        sys.stdout.flush()
    for line in lines:
        print("".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in line), file=sys.stderr)
    sys.exit(status)
