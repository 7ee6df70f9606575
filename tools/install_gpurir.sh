#!/usr/bin/env bash
# Build gpuRIR, the paper's room simulator, from its repository into tools/venv, for 'engine: gpurir' of a simulation.
# It is optional: itersep's own engine does not need it. It needs an NVIDIA GPU, the CUDA toolkit, a C++ compiler and the
# network. gpuRIR has another licence than itersep, the AGPL-3.0: read it before you distribute gpuRIR with your work.
# usage: tools/install_gpurir.sh       (GPURIR=address of another version's archive, CUDACXX=/path/to/nvcc)
set -euo pipefail

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=$tools/venv
source=${GPURIR:-https://github.com/DavidDiazGuerra/gpuRIR/zipball/master}
die() { echo "install_gpurir.sh: $*" >&2; exit 1; }

[ $# -eq 0 ] || die "unexpected argument '$1'; see the first lines of this file"
[ -x "$venv/bin/python" ] || die "there is no $venv yet; run tools/install.sh first"
if "$venv/bin/python" -c 'import gpuRIR' 2> /dev/null; then
  echo "gpuRIR is in $venv already."
  exit 0
fi

nvcc=
for candidate in ${CUDACXX:+"$CUDACXX"} nvcc /usr/local/cuda/bin/nvcc; do
  nvcc=$(command -v "$candidate") && break
done
[ -n "$nvcc" ] || die "finds no CUDA compiler; install the CUDA toolkit, or name it: CUDACXX=/path/to/nvcc $0"
command -v c++ > /dev/null || die "finds no C++ compiler; install one (Debian: sudo apt install g++)"

echo "Building gpuRIR with $nvcc; this takes minutes."
install() { "$venv/bin/python" -m pip install --disable-pip-version-check "$@"; }
install 'cmake>=3.12,<4' || die "pip can't install cmake, which builds it; see above" # its project is older than cmake 4
PATH="$venv/bin:$(dirname "$nvcc"):$PATH" CUDACXX=$nvcc install "$source" || die "gpuRIR does not build here; see above"
"$venv/bin/python" -c 'import gpuRIR' || die "gpuRIR is built, but does not load; see above"
echo "gpuRIR is in $venv. Choose it with --spec.engine gpurir (utils/simulate.py)."
