#!/usr/bin/env bash
# Make tools/venv, with itersep and the packages of its recipes and tests. Does nothing if it is complete.
# usage: tools/install.sh       (PYTHON=/path/to/python3.13 chooses the interpreter)
set -euo pipefail

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$tools")
venv=$tools/venv
cpu_index=https://download.pytorch.org/whl/cpu
die() { echo "install.sh: $*" >&2; exit 1; }

# The mark is written last. Moving the clone or changing the requirements makes it stale.
mark="$root $(sha256sum < "$root/setup.py")"
is_done() { [ "$(cat "$venv/.done" 2> /dev/null)" = "$mark" ]; }
is_done && exit 0
exec 9< "$tools"
flock 9 # a second call waits for the first
is_done && exit 0

range='python_requires=">=3\.([0-9]+),<3\.([0-9]+)"'
[[ $(< "$root/setup.py") =~ $range ]]
oldest=${BASH_REMATCH[1]} newest=$((BASH_REMATCH[2] - 1))
candidates=(${PYTHON:+"$PYTHON"} python3)
for ((minor = newest; minor >= oldest; minor--)); do candidates+=("python3.$minor"); done
python=
for candidate in "${candidates[@]}"; do
  "$candidate" -c "import sys; sys.exit(not (3, $oldest) <= sys.version_info[:2] <= (3, $newest))" 2> /dev/null || continue
  python=$candidate
  "$python" -c 'import ensurepip, venv' 2> /dev/null && break
done
[ -n "$python" ] || die "needs Python 3.$oldest to 3.$newest, and $(python3 --version 2> /dev/null || echo none) is here;" \
  "install one of them, or name it: PYTHON=/path/to/python3.$newest tools/install.sh"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
"$python" -c 'import ensurepip, venv' 2> /dev/null || die "Python $version lacks its venv module;" \
  "install it with: sudo apt install python$version-venv"

echo "Installing into $venv (Python $version); this takes minutes, once."
[ "$(cat "$venv/.root" 2> /dev/null)" = "$root" ] || "$python" -m venv --clear "$venv"
echo "$root" > "$venv/.root"

# pip's progress is shown, and its messages are kept.
install() { "$venv/bin/python" -m pip install --disable-pip-version-check --retries 2 "$@" 2> "$venv/pip.err"; }
reachable() { timeout 5 "$python" -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1])' "$1" 2> /dev/null; }

# Without an NVIDIA driver, wheels without CUDA save gigabytes; their server is not reachable everywhere. torchaudio must
# come from there too, because PyPI's loads only beside PyPI's torch.
if ! command -v nvidia-smi > /dev/null && [ ! -e /proc/driver/nvidia/version ] && reachable "$cpu_index/torch/"; then
  mapfile -t pair < <(grep -oE '"torch(audio)?[<>=][^"]*' "$root/setup.py" | tr -d '"')
  install --index-url "$cpu_index" "${pair[@]}" || echo "No CPU wheels found there; installing PyPI's."
fi
install --editable "${root}[recipes,tests]" || die "pip failed ($(grep -o -m1 'ERROR: .*' "$venv/pip.err" \
  || echo 'no reason given')); look at the network and the disk, and run it again (its messages: $venv/pip.err)"
"$venv/bin/python" -c 'import torch, torchaudio' 2> "$venv/pip.err" || die "torch and torchaudio do not load together" \
  "($(tail -n 1 "$venv/pip.err")); remove $venv, and run it again"
echo "$mark" > "$venv/.done"
