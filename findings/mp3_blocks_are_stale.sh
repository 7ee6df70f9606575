#!/usr/bin/env bash
# soundfile gives too few samples of a valid MP3, or repeats old ones, without an error.
#
# Seen: of an MP3 of variable rate without a Xing header (ffmpeg -write_xing 0, many recorders and streams), libsndfile
# takes the first frame's bits a second for all to tell its length. Where later frames have fewer, soundfile.read and
# soundfile.blocks end early. Where later ones have more, soundfile.blocks goes on to that length after the end of the
# file, and what it yields is whatever its buffer held before: it does not look at how many samples it got. So does it
# for an MP3 with a Xing header that was cut off: the length of the header, the last second again and again.
# Expected: the samples that the file has, as FFmpeg decodes them, or an error.
# A way out: SoundFile.read(n) in a loop, which returns fewer, for the second; another decoder for the first.
#
# Exits with 1 if it behaves otherwise.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6 av==18.1.0
"$folder/venv/bin/python" - "$folder" << 'END' 2> /dev/null # libmpg123's own messages
import os, sys
import av
import numpy as np
import soundfile

print(f"soundfile {soundfile.__version__}, {soundfile.__libsndfile_version__}, PyAV {av.__version__}")
RATE = 16000


def encode(path: str, samples: np.ndarray, xing: str) -> None:
    with av.open(path, "w", format="mp3", options={"write_xing": xing}) as file:
        stream = file.add_stream("libmp3lame", rate=RATE, options={"flags": "+qscale", "global_quality": str(4 * 118)})
        stream.layout, stream.format = "mono", "fltp"
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        file.mux([*stream.encode(frame), *stream.encode(None)])


def count(path: str) -> tuple[int, int, int, int]:
    blocks = list(soundfile.blocks(path, RATE // 10))
    repeated = sum(np.array_equal(one, other) and bool(one.any()) for one, other in zip(blocks, blocks[1:]))
    with av.open(path) as file:
        decoded = sum(frame.samples for frame in file.decode(audio=0))
    return decoded, len(soundfile.read(path)[0]), sum(map(len, blocks)), repeated


path = sys.argv[1] + "/a.mp3"
noise, quiet = np.random.default_rng(0).uniform(-0.3, 0.3, 4 * RATE).astype(np.float32), np.zeros(4 * RATE, np.float32)
seen = {}
for name, parts, xing, share in (
    ("loud, then silent", (noise, quiet), "0", 1),
    ("silent, then loud", (quiet, noise), "0", 1),
    ("with Xing header, cut in half", (noise, noise), "1", 0.5),
):
    encode(path, np.concatenate(parts), xing)
    os.truncate(path, int(os.path.getsize(path) * share))
    seen[name] = decoded, read, blocks, repeated = count(path)
    print(f"8 s {name}: FFmpeg {decoded / RATE:.2f} s; soundfile.read {read / RATE:.2f} s; "
          f"soundfile.blocks {blocks / RATE:.2f} s, {repeated} blocks of 0.1 s are the one before again")
short, long, cut = seen.values()
sys.exit(not (short[1] == short[2] < short[0] / 2 and long[2] > 1.5 * long[0] and long[3] > 10
              and cut[2] > 1.5 * cut[0] > cut[1] * 1.4 and cut[3] > 10))
END
