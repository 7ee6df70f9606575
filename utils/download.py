#!/usr/bin/env python3
"""Corpora from the network, by name: downloads/<name>, whole and checked."""

from itersep.data.corpora import OPENSLR, SOURCES, fetch_corpora
from itersep.system.cli import guard, make_parser, parse


def main() -> None:
    """Download and unpack what is not there yet; stopped, the same command goes on."""
    parser = make_parser(
        "Download corpora, check them by their published checksums, and unpack them: " + ", ".join(SOURCES),
    )
    parser.add_argument("names", nargs="+", help="names of corpora")
    parser.add_argument("--out", default="downloads", help="folder for them, each in a folder of its name")
    parser.add_argument("--openslr", default=OPENSLR, help="where LibriSpeech comes from: OpenSLR, or a mirror of it")
    options = parse(parser)
    fetch_corpora(options.names, options.out, options.openslr)
    print(f"{options.out}: {', '.join(options.names)}")


if __name__ == "__main__":
    guard(main)
