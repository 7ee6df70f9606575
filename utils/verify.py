#!/usr/bin/env python3
"""SHA-256 of every rendered file of simulated sets: written to data/<set>/SHA256SUMS, or compared with it."""

import sys

from jsonargparse.typing import PositiveInt

from itersep.data.verify import SUMS, check_sums, write_sums
from itersep.system.cli import guard, make_parser, parse


def main() -> None:
    """Print one line for each set, and one for each kind of difference."""
    parser = make_parser(
        f"Compare the audio of simulated sets, and mixtures.jsonl, with their {SUMS}, which sha256sum -c "
        "reads too. Exit status 1 if a file is missing, extra or changed.",
    )
    parser.add_argument("data_dirs", nargs="+", help="data directories of rendered mixtures")
    parser.add_argument("--write", action="store_true", help=f"write {SUMS} instead")
    parser.add_argument("--nj", type=PositiveInt, default=2, help="files read at a time")
    options = parse(parser)
    bad = 0
    for data_dir in options.data_dirs:
        if options.write:
            print(f"{data_dir}/{SUMS}: {write_sums(data_dir, options.nj)} files")
            continue
        differences = check_sums(data_dir, options.nj)
        for kind, names in differences._asdict().items():
            if names:
                print(
                    f"{data_dir}: {len(names)} {kind}: {', '.join(names[:3])}{' ..' * (len(names) > 3)}",
                    file=sys.stderr,
                )
        if any(differences):
            bad += 1
        else:
            print(f"{data_dir}: as {SUMS} says")
    if bad:
        raise OSError(f"{bad} of {len(options.data_dirs)} sets are not what their {SUMS} say, see above")


if __name__ == "__main__":
    guard(main)
