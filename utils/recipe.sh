# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# The start of every run.sh. Source this after the options are parsed and checked: it changes to the recipe's folder, reads
# path.sh and cmd.sh, and installs missing packages. Paths in options must be absolute by then. It sets
#   runs N                                      a function: is stage N to be run?
#   results report test_set overrides variant   variables of utils/experiment.sh, which a recipe may change

trap 'exit 143' TERM # a cluster signals all processes at once: bash lets the stage save and end first
[ $# -eq 0 ] || option_error "unexpected argument '$1'"
[ -n "${config-unused}" ] || option_error "--config is empty; it takes yaml files with commas between"
[ "${stage:-0}" -le "${stop_stage:-0}" ] || option_error "--stop-stage $stop_stage comes before --stage $stage"
cd "$(dirname "${BASH_SOURCE[1]}")" || exit
. ./path.sh
. ./cmd.sh
"$root/tools/install.sh"

results=${results-RESULTS.md} report=$root/utils/report.py test_set=test_2mix overrides=() variant=
runs() { [ "$stage" -le "$1" ] && [ "$1" -le "$stop_stage" ]; }

write_page() {
  local scored=(exp/*/*/summary.json)
  mapfile -t scored < <(printf '%s\n' "${scored[@]%/*/summary.json}" | LC_ALL=C sort -u)
  python "$report" "${scored[@]}" --out "$results"
  echo "Read $results, and listen to the files named above; all paths are from $PWD."
}
