#!/usr/bin/env bash
# The paper's recipe: two voices of LibriSpeech and a Nonspeech sound in a simulated room. Runs one experiment.
#
# usage: ./run.sh [options]
#   --stage N              first stage to run: 0 data, 1 simulation, 2 training, 3 separation, 4 scoring
#   --stop-stage N         last stage to run
#   --librispeech DIR      folder with train-clean-100/ and so on, or LibriSpeech/ with them; default: downloads them
#   --nonspeech DIR        folder with n1.wav .. n100.wav; default: downloads them
#   --subset S             full (100 hours), mini (5 hours), or parts for train, dev, test: A,B,C
#   --noise-resample BOOL  resample the noises to 16 kHz; false: take their samples as 16 kHz, as the paper's data do
#   --tac-lists DIR        use the mixtures of the published lists, MC_Libri_*.pkl, instead of our own draws
#   --geometry G           microphone array of those lists, fixed or adhoc; its microphone 1 is used
#   --allow-missing BOOL   leave out mixtures of those lists with missing speech or noise
#   --fresh BOOL           train on mixtures drawn anew in every epoch; false: on 20000 mixtures rendered once
#   --config A,B           yaml files of this folder, each laid over the one before; they name the experiment
#   --iterations N         separate 1 to N times, and score each
#   --nj N                 processes for simulation, separation and scoring
# Finished work is not repeated. cmd.sh sets the launcher of each kind of work.
set -euo pipefail

stage=0
stop_stage=4
librispeech=
nonspeech=
subset=full
noise_resample=false
tac_lists=
geometry=fixed
allow_missing=false
fresh=true
config=conf/freq.yaml
iterations=4
nj=2

. "$(dirname "${BASH_SOURCE[0]}")/../../utils/parse_options.sh"
[[ $geometry =~ ^(fixed|adhoc)$ ]] || option_error "--geometry is fixed or adhoc, not '$geometry'"
[[ $fresh =~ ^(true|false)$ ]] || option_error "--fresh is true or false, not '$fresh'"
absolute_paths librispeech nonspeech tac_lists
. "$(dirname "${BASH_SOURCE[0]}")/../../utils/recipe.sh"

declare -A count=([train]=20000 [dev]=5000 [test]=3000) # the paper's
case $subset in
  full) subset=train-clean-100,dev-clean,test-clean ;;
  mini) subset=train-clean-5,dev-clean-2,dev-clean-2 count=([train]=2000 [dev]=500 [test]=300) ;;
esac
sets=(dev test)
if [ "$fresh" = false ]; then
  sets=(train dev test) config+=,conf/rendered.yaml
fi
results=${ITERSEP_PAGE-RESULTS.md} report=local/report.py

if runs 0; then
  echo "Stage 0: data preparation"
  IFS=, read -ra parts <<< "$subset"
  [ -n "$librispeech" ] || "${prepare_cmd[@]}" python "$root/utils/download.py" "${parts[@]}"
  [ -n "$nonspeech" ] || "${prepare_cmd[@]}" python "$root/utils/download.py" nonspeech
  "${prepare_cmd[@]}" python local/prepare_data.py --librispeech "${librispeech:-downloads}" --parts "$subset" \
    --nonspeech "${nonspeech:-downloads/nonspeech}" --noise_resample "$noise_resample"
  python "$root/utils/validate_data_dir.py" data/{,noise_}{train,dev,test}
fi

if runs 1; then
  echo "Stage 1: simulation of ${sets[*]} mixtures"
  for set in "${sets[@]}"; do
    if [ -n "$tac_lists" ]; then
      list=MC_Libri_${geometry}_${set/dev/validation}.pkl
      from=(--tac "$tac_lists/$list" --allow_missing "$allow_missing" --noise data/noise_test) # the set with all noises
    else
      from=(--spec conf/simulate.yaml --count "${count[$set]}" --noise "data/noise_$set")
    fi
    "${simulate_cmd[@]}" python "$root/utils/simulate.py" --speech "data/$set" "${from[@]}" \
      --out "data/${set}_2mix" --nj "$nj"
  done
  mixed=("${sets[@]/#/data/}")
  python "$root/utils/validate_data_dir.py" "${mixed[@]/%/_2mix}"
fi

. "$root/utils/experiment.sh" # 2 training, 3 separation, 4 scoring
