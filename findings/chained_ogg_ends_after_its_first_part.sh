#!/usr/bin/env bash
# Of a chained Ogg file soundfile reads the first part alone, without a word, or says that it lasts for ages.
#
# Seen: an Ogg file may be several streams one after the other (RFC 3533, section 4; `cat a.ogg b.ogg`, recordings of
# internet radio). libsndfile reads the first. Where the last part is short, soundfile.info has the first part's length
# and reading ends there (libsndfile's issue 277); where it is longer, info says 2**63 - 1 samples, and soundfile.read
# fails in numpy. It is met in data: 18 of the Czech syllables in Debian's klettres-data are such files.
# Expected: all of it, as FFmpeg decodes, or an error.
#
# Exits with 1 if it behaves otherwise.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6 av==18.1.0
"$folder/venv/bin/python" - "$folder" << 'END'
import sys
import av
import numpy as np
import soundfile

print(f"soundfile {soundfile.__version__}, {soundfile.__libsndfile_version__}, PyAV {av.__version__}")
one, two, both = (f"{sys.argv[1]}/{name}.ogg" for name in ("one", "two", "both"))
as_seen = True
for subtype, seconds in (("VORBIS", 0.4), ("OPUS", 0.4), ("VORBIS", 9), ("OPUS", 9)):
    for path, length in ((one, 48000), (two, round(48000 * seconds))):
        soundfile.write(path, np.random.default_rng(length).uniform(-0.1, 0.1, length), 48000, subtype, format="OGG")
    with open(both, "wb") as file:
        file.write(open(one, "rb").read() + open(two, "rb").read())
    with av.open(both) as file:
        decoded = sum(frame.samples for frame in file.decode(audio=0)) / 48000
    told = soundfile.info(both).frames
    try:
        read = f"{len(soundfile.read(both)[0])} samples"
    except ValueError as error:
        read = f"ValueError: {str(error)[:20]}"
    print(f"{subtype}, 1 s and {seconds} s: FFmpeg {decoded:.2f} s; soundfile.info {told} samples, .read {read}")
    short = seconds < 1
    as_seen &= 1 + seconds <= decoded < 1.1 + seconds and told == (48000 if short else 2**63 - 1)
    as_seen &= read == ("48000 samples" if short else "ValueError: array is too big; `arr"[:32])
sys.exit(not as_seen)
END
