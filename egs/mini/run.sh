#!/usr/bin/env bash
# Two speakers at once: trains a network that separates them, in minutes.
#
# usage: ./run.sh [options]
#   --stage N          first stage to run: 0 data, 1 simulation, 2 training, 3 separation, 4 scoring
#   --stop-stage N     last stage to run
#   --config A,B       yaml files of this folder, each laid over the one before; they name the experiment
#   --corpus-dir DIR   your own speech in place of the Debian packages, with one folder a speaker at any depth
#   --speaker-level N  level of the speakers' folders in DIR, 1 for the outermost; only needed if it is ambiguous
#   --noise-dir DIR    your own noises; requires --corpus-dir
#   --iterations N     separate 1 to N times, and score each
#   --results FILE     page of results to write, with all scored experiments
#   --nj N             processes for preparation, simulation and scoring
# Finished work is not repeated. cmd.sh sets the launcher of each kind of work.
set -euo pipefail

stage=0
stop_stage=4
config=conf/freq.yaml
corpus_dir=
speaker_level=
noise_dir=
iterations=4
results=RESULTS.md
nj=2

. "$(dirname "${BASH_SOURCE[0]}")/../../utils/parse_options.sh"
[ "${corpus_dir:+x}" = "${noise_dir:+x}" ] || option_error "--corpus-dir and --noise-dir go together"
absolute_paths corpus_dir noise_dir
. "$(dirname "${BASH_SOURCE[0]}")/../../utils/recipe.sh"

if runs 0; then
  echo "Stage 0: data preparation"
  if [ -n "$corpus_dir" ]; then
    "${prepare_cmd[@]}" python "$root/utils/prepare_corpus.py" --corpus_dir "$corpus_dir" \
      ${speaker_level:+--speaker_level "$speaker_level"} --noise_dir "$noise_dir" --nj "$nj"
  else
    "${prepare_cmd[@]}" local/download.sh downloads
    "${prepare_cmd[@]}" python local/prepare_mini.py --nj "$nj"
  fi
  python "$root/utils/validate_data_dir.py" data/{,noise_}{train,dev,test}
fi

if runs 1; then
  echo "Stage 1: simulation of dev and test mixtures (those for training are drawn in training)"
  for set_count in dev:60 test:200; do
    set=${set_count%:*} count=${set_count#*:}
    "${simulate_cmd[@]}" python "$root/utils/simulate.py" --spec conf/simulate.yaml --nj "$nj" --count "$count" \
      --speech "data/$set" --noise "data/noise_$set" --out "data/${set}_2mix"
  done
  python "$root/utils/validate_data_dir.py" data/{dev,test}_2mix
fi

. "$root/utils/experiment.sh" # 2 training, 3 separation, 4 scoring
