#!/usr/bin/env bash
# Install, check the style and the imports of all code, and run the tests in two processes.
# usage: tools/test.sh [--fast] [pytest arguments]
#   --fast   leave out the tests marked slow, which run stage programs and recipes (about a fifth of the time)
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools/install.sh
export PATH=$PWD/tools/venv/bin:$PATH
chosen=()
if [ "${1:-}" = --fast ]; then
  shift
  chosen=(-m "not slow")
fi
ruff check
ruff format --check
lint-imports --no-logo --no-cache
mypy
python -m pytest --numprocesses 2 --dist loadfile "${chosen[@]}" "$@"
