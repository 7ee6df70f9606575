# shellcheck shell=bash
# Source this. Sets the repository's root, and puts its Python and utils/ first in the path.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export PATH="$root/tools/venv/bin:$root/utils:$PATH"
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
