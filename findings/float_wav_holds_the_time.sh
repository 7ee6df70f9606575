#!/usr/bin/env bash
# A WAV of floats that soundfile writes is another file in the next second, though its samples are the same.
#
# Seen: libsndfile puts a chunk PEAK with the time of writing before the samples of WAV and AIFF of floats; 16 and 24 bits
# have none. soundfile has no argument against it (libsndfile's command is SFC_SET_ADD_PEAK_CHUNK).
# Expected: the same samples, rate and format are the same bytes, so that a digest tells whether audio was changed, and a
# build that is repeated can be compared.
# A way out: 4 bytes of zero, 12 bytes behind the chunk's beginning.
#
# Exits with 1 if it behaves otherwise.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet soundfile==0.14.0 numpy==2.4.6
"$folder/venv/bin/python" - << 'END'
import io, sys, time
import numpy as np
import soundfile

print(f"soundfile {soundfile.__version__}, {soundfile.__libsndfile_version__}, numpy {np.__version__}")


def encode(kind: str, subtype: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.linspace(-0.5, 0.5, 100, dtype=np.float32), 8000, subtype=subtype, format=kind)
    return file.getvalue()


cases = [(kind, subtype) for kind in ("WAV", "AIFF", "W64") for subtype in ("FLOAT", "PCM_16")]
first = [encode(*case) for case in cases]
time.sleep(1.1)
second = [encode(*case) for case in cases]
differ = {}
for case, one, other in zip(cases, first, second):
    at = [i for i, pair in enumerate(zip(one, other)) if pair[0] != pair[1]]
    differ[case] = bool(at)
    inside = bool(at) and all(12 <= i - one.index(b"PEAK") < 16 for i in at)
    print(*case, f"differs at bytes {at}, in the time of the chunk PEAK: {inside}" if at else "is the same")
sys.exit(differ != {(kind, subtype): subtype == "FLOAT" and kind != "W64" for kind, subtype in cases})
END
