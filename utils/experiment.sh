# shellcheck shell=bash disable=SC2154
# Stages 2 to 4, the same in every recipe. Source this at the end of run.sh, after utils/recipe.sh: it trains by config,
# and separates and scores data/$test_set. Variables of run.sh:
#   config      yaml files with commas between, each laid over the one before; they name the experiment
#   iterations  separate 1 to this many times
#   results     page to write, with all scored experiments; empty: none
#   nj          processes
# Variables of recipe.sh, which run.sh may change:
#   test_set    data/$test_set is separated and scored
#   overrides   options of utils/train.py, laid over the yaml files, such as --data.train DIR
#   variant     is added to the experiment's name, to name the overrides
#   report      the program that writes the page

IFS=, read -ra configs <<< "$config"
names=("${configs[@]##*/}")
exp=exp/$(IFS=_ && echo "${names[*]%.yaml}")${variant:+_$variant}

if runs 2; then
  echo "Stage 2: training"
  "${train_cmd[@]}" python "$root/utils/train.py" "${configs[@]/#/--config=}" "${overrides[@]}" --out "$exp"
fi

if runs 3; then
  echo "Stage 3: separation of the test mixtures"
  "${separate_cmd[@]}" python "$root/utils/separate.py" --model "$exp" --data "data/$test_set" \
    --out "$exp/$test_set" --iterations "$iterations" --nj "$nj"
fi

if runs 4; then
  echo "Stage 4: scoring"
  "${score_cmd[@]}" python "$root/utils/score.py" --data "data/$test_set" --separated "$exp/$test_set" --nj "$nj"
fi

if runs 4 && [ -n "$results" ]; then write_page; fi
