#!/usr/bin/env bash
# Build what would be published, check it, install the wheel into an empty environment, and separate with it.
# usage: tools/test_wheel.sh       (PYTHON=/path/to/python3.13 chooses the interpreter)
set -euo pipefail

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

git clone --quiet "$checkout" "$dir/itersep" # without uncommitted files
"${PYTHON:-python3}" -m venv "$dir/tools"
"$dir/tools/bin/pip" --quiet install build twine
"$dir/tools/bin/python" -m build --outdir "$dir/dist" "$dir/itersep" > "$dir/log" || { cat "$dir/log"; exit 1; }
"$dir/tools/bin/twine" check --strict "$dir"/dist/*
ls -l "$dir/dist"

"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" --quiet install "$dir"/dist/*.whl
cd "$dir"
"$dir/venv/bin/python" << END
import numpy, soundfile
soundfile.write("noise.wav", numpy.random.default_rng(0).uniform(-0.3, 0.3, 44100), 44100)
END
"$dir/venv/bin/itersep-separate" noise.wav --out separated
ls -l separated
