#!/usr/bin/env bash
# Run a command as a batch job of Slurm and wait for it: show its output, return its exit status, and cancel the job if
# this program is stopped. The command resumes by itself if Slurm requeues the job, or if SIGTERM warns it of its time limit
# (--signal=TERM@120).
#
# usage: slurm.sh [--parts N] [options of sbatch] -- command [arguments]
#   --parts N   first an array of N jobs, each of which runs the command with --part I/N added, with its output only in
#               its log; then the command itself, which finds the parts done and writes the tables
# srun runs the command once, unless --ntasks or --nodes ask for more. Logs are exp/log/slurm-<job>.log, and those of an
# array exp/log/slurm-<job>_<I>.log.
set -euo pipefail

error() { echo "slurm.sh: $*" >&2; exit 2; }

parts=0 options=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  case $1 in
    --help) sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"; exit ;;
    --parts) parts=${2:-} && shift ;;
    -*) options+=("$1") ;;
    *) error "options of sbatch are --name=value, not '$1'; $0 --help tells the usage" ;;
  esac
  shift
done
[[ $parts =~ ^[0-9]+$ ]] || error "--parts needs a number, not '$parts'"
[ $# -ge 2 ] || error "there is no command after --; $0 --help tells the usage"
shift
command -v sbatch > /dev/null || error "there is no sbatch here; run this where Slurm is, or without LAUNCH (cmd.sh)"
mkdir -p exp/log

# The job. At SIGTERM its shell waits for srun, which waits for the command. Status 143 means that SIGTERM ended the command;
# if Slurm still counts the job as running, the signal was a warning of its time limit, and the job asks for another turn.
job_script() {
  cat << END
#!/usr/bin/env bash
trap : TERM
unset LAUNCH # the stages of the command run in this job
[ -z "\${SLURM_CPUS_PER_TASK:-}" ] || export SRUN_CPUS_PER_TASK=\$SLURM_CPUS_PER_TASK # srun reads no other variable
srun $1 || status=\$?
if [ "\${status:-0}" = 143 ] && [ "\$(squeue --noheader --jobs="\$SLURM_JOB_ID" --format=%T)" = RUNNING ]; then
  scontrol requeue "\$SLURM_JOB_ID"
fi
exit "\${status:-0}"
END
}

# run_job <command as text> <log> [options of sbatch]: submit, wait, cancel if a signal comes; returns the job's status.
run_job() {
  local script job='' log=$2 submitted waiting status
  script=$(job_script "$1")
  shift 2
  exec {submitted}< <(
    trap '' INT TERM # sbatch waits until the cancelled job has ended
    exec sbatch --wait --parsable --job-name="${PWD##*/}" --open-mode=append --output="$log" "${options[@]}" "$@" \
      <<< "$script"
  )
  waiting=$!
  read -r job <&"$submitted" || true
  log=${log//%[jA]/$job}
  if [ -n "$job" ]; then
    echo "slurm.sh: job $job, $log"
    tail --pid="$waiting" -s 0.2 -n +1 -F "$log" 2> /dev/null &
  fi
  while true; do # a signal ends wait, and sbatch goes on
    [ -z "$stopped" ] || [ -z "$job" ] || scancel "$job"
    status=0
    wait "$waiting" || status=$?
    kill -0 "$waiting" 2> /dev/null || break
  done
  wait # for the rest of the log
  [ -z "$stopped" ] || exit "$stopped"
  [ "$status" = 0 ] || [ -z "$job" ] || echo "slurm.sh: job $job ended with status $status, see $log" >&2
  return "$status"
}

stopped=''
trap 'stopped=130' INT
trap 'stopped=143' TERM
# shellcheck disable=SC2016 # each job of the array expands its own number
part='--part "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"'
[ "$parts" = 0 ] || run_job "${*@Q} $part" exp/log/slurm-%A_%a.log --array="1-$parts"
run_job "${*@Q}" exp/log/slurm-%j.log
