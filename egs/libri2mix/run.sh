#!/usr/bin/env bash
# LibriMix: two or three voices of LibriSpeech at once, without a room, by its official lists.
#
# usage: ./run.sh [options]
#   --stage N              first stage to run: 0 data, 1 mixtures, 2 training, 3 separation, 4 scoring
#   --stop-stage N         last stage to run
#   --librispeech DIR      folder with train-clean-100/ and so on, or LibriSpeech/ with them; default: downloads them
#   --wham DIR             folder with WHAM's noises, tr/ cv/ tt/: mixtures with noise (mix_both); default: mix_clean
#   --lists DIR            folder with the lists libri2mix_<part>.csv or libri3mix_<part>.csv; default: downloads
#   --parts A,B,C          the lists, and parts of LibriSpeech, for train, dev, test
#   --speakers N           2 or 3
#   --rate R               8k or 16k
#   --mode M               min cuts a mixture to its shortest utterance, max pads to the longest
#   --allow-missing BOOL   leave out mixtures with missing speech or noise
#   --config A,B           yaml files of this folder, each laid over the one before; they name the experiment
#   --iterations N         separate 1 to N times, and score each
#   --nj N                 processes for mixing, separation and scoring
# Finished work is not repeated. cmd.sh sets the launcher of each kind of work.
set -euo pipefail

stage=0
stop_stage=4
librispeech=
wham=
lists=
parts=train-clean-100,dev-clean,test-clean
speakers=2
rate=8k
mode=min
allow_missing=false
config=conf/freq.yaml
iterations=4
nj=2

. "$(dirname "${BASH_SOURCE[0]}")/../../utils/parse_options.sh"
[[ $speakers =~ ^[23]$ ]] || option_error "--speakers is 2 or 3, not '$speakers'"
[[ $rate =~ ^(8|16)k$ ]] || option_error "--rate is 8k or 16k, not '$rate'"
[[ $mode =~ ^(min|max)$ ]] || option_error "--mode is min or max, not '$mode'"
[[ $parts =~ ^[^,]+,[^,]+,[^,]+$ ]] || option_error "--parts needs three names with commas between, not '$parts'"
absolute_paths librispeech wham lists
. "$(dirname "${BASH_SOURCE[0]}")/../../utils/recipe.sh"

IFS=, read -ra part <<< "$parts"
variant=${speakers}mix_${rate}_$mode${wham:+_noise} # the options, in the names of sets and experiments
test_set=test_$variant noise=data/noise_${speakers}mix
[ "$rate" = 8k ] || overrides+=(--config "conf/$rate.yaml")
[ "$speakers" = 2 ] || overrides+=(--config "conf/${speakers}speakers.yaml")
overrides+=(--data.train "data/train_$variant" --data.dev "data/dev_$variant")

if runs 0 && [ -z "$lists" ]; then "${prepare_cmd[@]}" python "$root/utils/download.py" librimix; fi
[ -n "$lists" ] || lists=$(echo downloads/librimix/*/metadata/"Libri${speakers}Mix")
csv=("${part[@]/#/"$lists/libri${speakers}mix_"}")
csv=("${csv[@]/%/.csv}") noise_dirs=()
[ -z "$wham" ] || noise_dirs=("$noise"/{train,dev,test})

if runs 0; then
  echo "Stage 0: data preparation"
  [ -n "$librispeech" ] || "${prepare_cmd[@]}" python "$root/utils/download.py" "${part[@]}"
  "${prepare_cmd[@]}" python local/prepare_speech.py --librispeech "${librispeech:-downloads}" --parts "$parts"
  if [ -n "$wham" ]; then
    "${prepare_cmd[@]}" python local/prepare_noise.py --wham "$wham" --csv "$(IFS=, && echo "${csv[*]}")" --out "$noise"
  fi
  python "$root/utils/validate_data_dir.py" data/{train,dev,test} "${noise_dirs[@]}"
fi

if runs 1; then
  echo "Stage 1: mixtures of train, dev and test by their lists"
  sets=(train dev test)
  for k in 0 1 2; do
    set=${sets[k]}
    "${simulate_cmd[@]}" python "$root/utils/simulate_librimix.py" --sample_rate "${rate%k}000" --mode "$mode" \
      --csv "${csv[k]}" --speech "data/$set" ${wham:+--noise "${noise_dirs[k]}"} --out "data/${set}_$variant" \
      --allow_missing "$allow_missing" --nj "$nj"
  done
  python "$root/utils/validate_data_dir.py" data/{train,dev,test}_"$variant"
fi

. "$root/utils/experiment.sh" # 2 training, 3 separation, 4 scoring
