#!/usr/bin/env bash
# fast_bss_eval 0.1.4 takes NumPy arrays or torch tensors. With NumPy 2 its bss_eval_sources refuses arrays, two sources of
# white noise here, where its sdr of the same arrays works; with NumPy 1 both work. One would expect the same of both: the
# package names no bound on NumPy.
#
# NumPy 2.0 changed numpy.linalg.solve(a, b): b is a vector if it has one axis, and a stack of matrices otherwise. A stack of
# vectors (..., n), which NumPy 1 took for what it is, is then a matrix of another shape.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/try.py" <<'EOF'
import sys

import fast_bss_eval
import numpy as np

rng = np.random.default_rng(0)
ref = rng.standard_normal((2, 8000))
est = ref + 0.1 * ref[::-1] + 0.1 * rng.standard_normal((2, 8000))
print("numpy", np.__version__)
for name, action in (
    ("bss_eval_sources", lambda: fast_bss_eval.bss_eval_sources(ref, est, compute_permutation=False)[0]),
    ("sdr", lambda: fast_bss_eval.sdr(ref, est)),
):
    try:
        print(name, np.round(action(), 1))
    except ValueError as error:
        print(name, "ValueError:", str(error)[:60])
EOF

seen=
for numpy in 1.26.4 2.2.6; do
  python3 -m venv "$folder/$numpy"
  "$folder/$numpy/bin/pip" install --quiet --disable-pip-version-check fast-bss-eval==0.1.4 "numpy==$numpy" scipy==1.15.3
  seen+=$("$folder/$numpy/bin/python" "$folder/try.py")$'\n'
done
echo "$seen"
[ "$(grep -c '^bss_eval_sources ValueError: solve' <<< "$seen")" = 1 ] || { echo "changed: see above"; exit 1; }
[ "$(grep -c '^bss_eval_sources \[' <<< "$seen")" = 1 ] || { echo "changed: see above"; exit 1; }
