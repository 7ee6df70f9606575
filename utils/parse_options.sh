# shellcheck shell=bash
# Options of a shell program, read from its own text. Source this after the defaults:
#
#   stage=0
#   . utils/parse_options.sh        # --stage 2 or --stage=2 sets it; stop_stage is --stop-stage
#
# An option is any variable that the program sets at the start of a line before this. An option with a number as default
# takes only numbers. --help prints the comment at the top of the program. Other arguments stay in "$@".

# For the program's own checks: option_error TEXT ends it; absolute_paths NAME ... makes the paths in these variables
# absolute, for a program that works in another folder than its caller.

option_error() { echo "$0: $*; $0 --help lists the options" >&2; exit 2; }

absolute_paths() {
  local path_name
  for path_name; do
    [ -z "${!path_name}" ] || printf -v "$path_name" %s "$(realpath -m -- "${!path_name}")"
  done
}

while [[ ${1:-} == --?* ]]; do
  if [ "$1" = --help ]; then
    sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"
    exit 0
  fi
  option=${1%%=*} name=${1%%=*}
  name=${name#--} name=${name//-/_}
  if [[ ! $name =~ ^[a-z][a-z_]*$ ]] || ! sed '/parse_options.sh/q' "$0" | grep -q "^$name="; then
    option_error "unknown option $option"
  elif [[ $1 == *=* ]]; then
    value=${1#*=}
    shift
  else
    [ $# -ge 2 ] || option_error "$option needs a value"
    value=$2
    shift 2
  fi
  if [[ ${!name} =~ ^[0-9]+$ && ! $value =~ ^[0-9]+$ ]]; then
    option_error "$option needs a number, not '$value'"
  fi
  printf -v "$name" %s "$value"
done
unset option name value
