#!/usr/bin/env bash
# libsndfile reads 40 ms more than there are of every second GSM recording in WAV, and they are noise.
#
# Seen: GSM 6.10 in WAV (what telephone systems record) has blocks of 65 bytes, 320 samples. Where their number is odd,
# so is the number of bytes, and RIFF puts a byte of padding after them. libsndfile then counts a block more than the
# chunk and the header's fact say, also of files that it wrote itself, and decodes the padding: noise, here of a
# recording that is 0.01 throughout.
# Besides, SoundFile.blocks() of an open file raises ValueError, since GSM cannot be sought in.
# Expected: as many samples as the fact chunk says, as FFmpeg decodes.
#
# Exits with 1 if it behaves otherwise.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6 av==18.1.0
"$folder/venv/bin/python" - "$folder/a.wav" << 'END'
import struct, sys
import av
import numpy as np
import soundfile

print(f"soundfile {soundfile.__version__}, {soundfile.__libsndfile_version__}, PyAV {av.__version__}")
path, as_seen = sys.argv[1], True
for blocks in (1, 2, 3, 50, 51):
    soundfile.write(path, np.full(320 * blocks, 0.01), 8000, subtype="GSM610")
    content = open(path, "rb").read()
    (fact,) = struct.unpack_from("<I", content, content.index(b"fact") + 8)
    (size,) = struct.unpack_from("<I", content, content.index(b"data") + 4)
    samples = soundfile.read(path)[0]
    with av.open(path) as file:
        decoded = sum(frame.samples for frame in file.decode(audio=0))
    beyond = np.abs(samples[fact:]).max(initial=0)
    print(f"{size} bytes, fact {fact}: FFmpeg {decoded}, soundfile {len(samples)}, peak of those beyond {beyond:.2f}")
    as_seen &= decoded == fact and len(samples) == fact + 320 * (blocks % 2) and (beyond > 0.05) == bool(blocks % 2)
try:
    next(soundfile.SoundFile(path).blocks(100))
    as_seen = False
except ValueError as error:
    print(f"SoundFile.blocks(100): ValueError: {error}")
sys.exit(not as_seen)
END
