# shellcheck shell=bash disable=SC2034
# Source this. Sets the launcher of each kind of work; an empty one runs it on this machine. LAUNCH=slurm ./run.sh uses the
# lines for Slurm. Adapt the resources of their jobs to the cluster (--partition, --account, --time, GPUs; docs/cluster.md).
prepare_cmd=() # runs on this machine on a cluster too, because it may download
simulate_cmd=()
train_cmd=()
separate_cmd=()
score_cmd=()

case ${LAUNCH:-here} in
  here) ;;
  gpus) # training on the four GPUs of this machine
    train_cmd=(torchrun.sh 4) ;;
  slurm | slurm_nodes)
    # One job to wait for, and arrays of jobs that share the mixtures: utils/slurm.sh --help.
    # --requeue: a preempted job starts again. --signal: so does one at its time limit, warned 2 minutes before.
    simulate_cmd=(slurm.sh --parts 16 --cpus-per-task=2 --mem=8G --requeue --)
    train_cmd=(slurm.sh --gres=gpu:1 --cpus-per-task=8 --mem=32G --requeue --signal=TERM@120 --)
    separate_cmd=(slurm.sh --parts 4 --gres=gpu:1 --cpus-per-task=4 --mem=16G --requeue --)
    score_cmd=(srun --cpus-per-task=4 --mem=8G)
    ;;&
  slurm_nodes) # training on two nodes with four GPUs each: srun starts torchrun once on each, torchrun four ranks
    train_cmd=(slurm.sh --nodes=2 --ntasks-per-node=1 --gres=gpu:4 --cpus-per-task=32 --mem=128G --requeue
      --signal=TERM@120 -- torchrun.sh 4) ;;
  slurm) ;;
  *)
    echo "cmd.sh: LAUNCH is here, gpus, slurm or slurm_nodes, not '$LAUNCH'" >&2
    exit 2 ;;
esac
