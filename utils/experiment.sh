# shellcheck shell=bash disable=SC2154
# Stages 2 to 4, the same in every recipe. To be sourced at the end of run.sh, which has sourced utils/recipe.sh; trains on
# what config says, separates and scores data/$test_set. What it takes from run.sh:
#   config      yaml files with commas between, each laid over the one before; they name the experiment
#   iterations  separate 1 to this many times
#   results     page to write, on all experiments that are scored; empty: none
#   nj          processes
# and, where recipe.sh's values are not the right ones:
#   test_set    data/$test_set is separated and scored
#   overrides   options of utils/train.py that are laid over the yaml files, such as --data.train DIR
#   variant     is added to the experiment's name, for what the overrides change
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
