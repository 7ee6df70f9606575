#!/usr/bin/env python3
"""Check data directories: sorted, unique, tables that agree, files that exist, rates, lengths, sums."""

import sys

from jsonargparse.typing import PositiveInt

from itersep.data.validate import validate_data_dir
from itersep.system.cli import guard, make_parser, parse
from itersep.system.errors import UserError


def main() -> None:
    """Print one line for each directory that is well, and one for each kind of fault found."""
    parser = make_parser(
        "Check data directories: tables (sorted, unique, agreeing) and audio (there, mono, of one rate, of "
        "equal length, not silent, summing up to the mixture). The first fault of each kind is named with file and "
        "line.",
    )
    parser.add_argument("data_dirs", nargs="+", help="data directories")
    parser.add_argument("--sample_rate", type=PositiveInt | None, help="rate of all audio (default: the first file's)")
    parser.add_argument("--allow_silent", type=bool, default=False, help="true: speakers may be silent throughout")
    options = parse(parser)
    bad = 0
    for data_dir in options.data_dirs:
        check = validate_data_dir(data_dir, options.sample_rate, options.allow_silent)
        if check.faults:
            print(*check.faults, sep="\n", file=sys.stderr)
            bad += 1
        else:
            print(f"{data_dir}: ok, {check.utterances} utterances, {say_length(check.seconds)}")
    if bad:
        raise UserError(f"{bad} of {len(options.data_dirs)} data directories have faults, named above")


def say_length(seconds: float) -> str:
    """A length of time, in hours, minutes or seconds: the largest of them that it has one of."""
    if seconds >= 3600:
        return f"{seconds / 3600:.2f} hours"
    return f"{seconds / 60:.2f} minutes" if seconds >= 60 else f"{seconds:.2f} seconds"


if __name__ == "__main__":
    guard(main)
