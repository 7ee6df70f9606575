#!/usr/bin/env bash
# Run a training as several ranks, by torchrun: on this machine, or on all nodes of a Slurm job if called once on each.
#
# usage: torchrun.sh PROCESSES command [arguments]
# PROCESSES is the number of ranks on each machine, usually that of its GPUs. SIGTERM ends it with status 143, as it ends a
# single process.
set -euo pipefail

if [ "${1:-}" = --help ]; then sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"; exit; fi
[[ $# -ge 2 && $1 =~ ^[1-9][0-9]*$ ]] || { echo "usage: torchrun.sh PROCESSES command [arguments]" >&2; exit 2; }
processes=$1
shift
meeting=(--standalone)
if [ "${SLURM_STEP_NUM_NODES:-1}" -gt 1 ]; then
  read -r first < <(scontrol show hostnames "$SLURM_STEP_NODELIST")
  port=$((20000 + SLURM_JOB_ID % 10000)) # jobs that share a node don't share a port
  meeting=(--nnodes="$SLURM_STEP_NUM_NODES" --rdzv-backend=c10d --rdzv-id="$SLURM_JOB_ID" --rdzv-endpoint="$first:$port")
fi
trap 'stopped=143' TERM # bash waits for torchrun, which got the signal too
torchrun "${meeting[@]}" --nproc-per-node="$processes" --no-python "$@" || status=$?
exit "${stopped:-${status:-0}}"
