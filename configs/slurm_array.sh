#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A benchmark as an array of Slurm jobs that know nothing of each other: each does its share of the cells.
# Needs no Dask. Copy it, change account, partition and the three paths, then: sbatch slurm_array.sh
# What follows is handed on to umed; try it without Slurm first: bash slurm_array.sh --dry-run
#SBATCH --job-name=umed
#SBATCH --account=my-project
#SBATCH --partition=gpu
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=08:00:00
#SBATCH --array=0-7
set -euo pipefail

GRID=${GRID:-configs/grid_for_a_cluster.yaml} # all three on a file system that every node sees
DATA=${DATA:-/shared/data}                    # with a folder volumes/ and a folder pictures/
OUT=${OUT:-/shared/results}
# . /shared/umed/.venv/bin/activate

export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
# Jobs share one OUT. A job that was cut off is simply submitted again: finished cells are not done twice.
umed benchmark "$GRID" --data "volumes=$DATA/volumes" --data "pictures=$DATA/pictures" --out "$OUT" \
  --shard "${SLURM_ARRAY_TASK_ID:-0}/${SLURM_ARRAY_TASK_COUNT:-1}" "$@"
