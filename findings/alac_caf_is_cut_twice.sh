#!/usr/bin/env bash
# FFmpeg loses up to the last 2047 samples of ALAC in a CAF file, also of those that it wrote.
#
# Seen: the last packet of ALAC holds fewer than 4096 samples, and says how many. A CAF file says as well how many are
# missing to 4096 (mRemainderFrames). The decoder heeds the one, and then the other's number is taken off once more: of
# 4096 + 2100 samples, 4096 + 104 come out. Where more are missing than the packet holds, none is taken off. Nothing is
# said. The same samples in m4a come out whole.
# Expected: lossless audio has as many samples after decoding as before.
# A way out: the decoder's flag skip_manual, for this pair of container and codec.
#
# Exits with 1 if it behaves otherwise.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/a" << 'END'
import sys
import av
import numpy as np
from av.codec.context import Flags2

print(f"PyAV {av.__version__}, libavformat {av.library_versions['libavformat']}")


def encode(path: str, kind: str, samples: np.ndarray) -> None:
    with av.open(path, "w", format=kind) as file:
        stream = file.add_stream("alac", rate=16000)
        stream.layout, stream.format = "mono", "s16p"
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16p", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        file.mux([*stream.encode(frame), *stream.encode(None)])


def decode(path: str, flag: bool = False) -> np.ndarray:
    with av.open(path) as file:
        if flag:
            file.streams.audio[0].codec_context.flags2 |= Flags2.skip_manual
        return np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])


as_seen = True
for length in (4096, 4096 + 904, 4096 + 2100, 4096 + 4000):
    samples = np.random.default_rng(0).integers(-9999, 9999, length, dtype=np.int16)
    encode(sys.argv[1], "ipod", samples)
    m4a = len(decode(sys.argv[1]))
    encode(sys.argv[1], "caf", samples)
    caf, manual = len(decode(sys.argv[1])), len(decode(sys.argv[1], True))
    print(f"{length} samples: in m4a {m4a}, in caf {caf}, in caf with skip_manual {manual}")
    missing, held = -length % 4096, length % 4096 or 4096
    as_seen &= m4a == manual == length and caf == length - (missing if missing < held else 0)
sys.exit(not as_seen)
END
