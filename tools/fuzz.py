#!/usr/bin/env python3
"""Feed a reader of foreign files what atheris makes up: it takes it, or refuses it in one sentence.

    pip install atheris
    tools/fuzz.py pickle FOLDER -max_total_time=600

The readers are those of tests/hostile.py. FOLDER keeps what reached new code; what makes a reader fail is written to
crash-* in the current folder, and becomes a test. Further options are libFuzzer's.
"""

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

with atheris.instrument_imports(include=["itersep", "json", "pickletools", "yaml", "jsonargparse"]):
    from itersep.system.errors import UserError
    from tests.hostile import READERS


def main() -> None:
    """Fuzz the reader that the first argument names."""
    if len(sys.argv) < 3 or sys.argv[1] not in READERS:
        sys.exit(f"usage: fuzz.py {{{','.join(READERS)}}} FOLDER [libFuzzer's options]")
    (read, examples), folder = READERS[sys.argv[1]], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for number, example in enumerate(examples):
        (folder / f"example{number}").write_bytes(example)

    def feed(data: bytes) -> None:
        try:
            read(data)
        except UserError as error:
            assert "\n" not in str(error)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], feed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
