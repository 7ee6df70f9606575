#!/usr/bin/env bash
# The paper's tables, on the data of run.sh --stop-stage 1: trains, separates and scores each row by stages 2 to 4 of
# run.sh, and writes the page of results. An interrupted run resumes, and finished rows are not repeated.
#
# usage: ./tables.sh [options]
#   --list             only print the rows: experiment, state, the paper's numbers, yaml files
#   --table N          the rows of this table, 1 to 4; 0: of all tables
#   --row NAME         only this row, such as freq_simo1_siso2_iter2
#   --scale NAME       conf/scale/NAME.yaml, or a yaml FILE, laid over each row: another number of mixtures or epochs;
#                      its name is added to the experiment's. conf/rendered.yaml: the same mixtures in every epoch
#   --seeds N          train each row N times: with seed 0, and with those of conf/seed
#   --nj N             processes for scoring
#   --part I/N         one of N shares of the rows, for an array of jobs (docs/cluster.md); a run without it writes the page
set -euo pipefail

list=false
table=0
row=
scale=paper
seeds=1
nj=2
part=

for argument; do # --list needs no value
  shift
  if [ "$argument" = --list ]; then argument=--list=true; fi
  set -- "$@" "$argument"
done
. "$(dirname "${BASH_SOURCE[0]}")/../../utils/parse_options.sh"
if [ -f "$scale" ]; then scale=$(realpath --relative-to="$(dirname "${BASH_SOURCE[0]}")" "$scale"); fi
. "$(dirname "${BASH_SOURCE[0]}")/../../utils/recipe.sh"

trainings=$(python local/list_trainings.py --table "$table" --row "$row" --scale "$scale" --seeds "$seeds" --part "$part" \
  --show "$list")
if [ "$list" = true ]; then
  echo "$trainings"
  exit
fi
[ -n "$trainings" ] || exit 0 # fewer rows than parts
[ -z "$part" ] || export ITERSEP_PAGE= # run.sh does not write the page yet
while IFS=$'\t' read -r state configs iterations; do
  echo "tables.sh: $configs ($state)"
  options=(--config "$configs" --iterations "$iterations" --nj "$nj")
  if [ "$state" != "done" ]; then ./run.sh --stage 2 "${options[@]}" < /dev/null; fi
done <<< "$trainings"
report=local/report.py
[ -n "$part" ] || write_page # also if all rows were finished before
