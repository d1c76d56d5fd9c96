#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A benchmark on the nodes of one Slurm job, shared out by Dask: a worker that is done takes the next task.
# Needs umed[dask,benchmark] on all nodes. Copy it, change account, partition and paths, then: sbatch slurm_dask.sh
# Whoever reaches the scheduler can run code on the workers: use it inside a network that you trust (docs/cluster.md).
#SBATCH --job-name=umed
#SBATCH --account=my-project
#SBATCH --partition=gpu
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=08:00:00
set -euo pipefail

GRID=${GRID:-configs/grid_for_a_cluster.yaml} # all three on a file system that every node sees
DATA=${DATA:-/shared/data}                    # with a folder volumes/ and a folder pictures/
OUT=${OUT:-/shared/results}
HOST=${HOST:-$(hostname -i | cut -d ' ' -f 1)}
PORT=${PORT:-8786}
# . /shared/umed/.venv/bin/activate

export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
dask scheduler --host "$HOST" --port "$PORT" --no-dashboard &
srun dask worker "tcp://$HOST:$PORT" --nthreads 1 --nworkers 1 --no-dashboard & # one thread of tasks a worker
umed benchmark "$GRID" --data "volumes=$DATA/volumes" --data "pictures=$DATA/pictures" --out "$OUT" \
  --scheduler "tcp://$HOST:$PORT" "$@"
