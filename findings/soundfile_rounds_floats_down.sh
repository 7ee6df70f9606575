#!/usr/bin/env bash
# soundfile writes the same floats as other samples to WAV and AIFF than to FLAC.
#
# Seen: floats written as 16 or 24 bits are rounded to the nearest step in FLAC, but down to the next one in WAV and AIFF.
# That is an offset of half a step, and 6 dB more error (a third of a step squared in place of a twelfth).
# Expected: the nearest step in all, as numpy.rint gives it. Why: soundfile turns clipping on, and the clipping
# conversions of libsndfile's PCM code take 32 bits and shift (its issue 362; changed after 1.2.2, which wheels carry).
# A way out: round to int16, or to the upper bits of int32, before writing.
#
# Exits with 1 if it behaves otherwise.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet soundfile==0.14.0 numpy==2.4.6
"$folder/venv/bin/python" - << 'END'
import io, sys
import numpy as np
import soundfile

print(f"soundfile {soundfile.__version__}, {soundfile.__libsndfile_version__}, numpy {np.__version__}")
steps = np.array([0.4, 0.6, 0.9, -0.1, -0.4, -0.6, 1000.7, -1000.2])
seen = {}
for kind in ("WAV", "AIFF", "FLAC"):
    for bits in (16, 24):
        file = io.BytesIO()
        soundfile.write(file, steps / 2 ** (bits - 1), 8000, subtype=f"PCM_{bits}", format=kind)
        file.seek(0)
        read = soundfile.read(file, dtype="int32")[0] >> (32 - bits)
        seen[kind, bits] = [how for how, rounded in (("nearest", np.rint(steps)), ("down", np.floor(steps)))
                            if (read == rounded).all()]
        print(f"{kind:4} {bits} bits: {steps.tolist()} -> {read.tolist()} {seen[kind, bits]}")
sys.exit(seen != {(kind, bits): ["nearest" if kind == "FLAC" else "down"] for kind, bits in seen})
END
