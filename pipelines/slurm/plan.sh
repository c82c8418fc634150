#!/usr/bin/env bash
# Plans a stage of medcosmos and submits it to Slurm: an array of jobs that run its shards, and a job that commits.
#
#     export SBATCH_ACCOUNT=mylab SBATCH_PARTITION=cpu      # what sbatch needs on your cluster
#     pipelines/slurm/plan.sh build RAW --out DATASET
#     pipelines/slurm/plan.sh predict DATASET --model sam-vit-h --provider cuda
#     pipelines/slurm/plan.sh evaluate DATASET
#
# Resume: run the same line again once no job of it is left in the queue. Only shards that are not done are submitted.
# Settings, as variables:
#
#     MEDCOSMOS=medcosmos     the program, on the nodes as well
#     TASK_SECONDS=3600       seconds of work, by estimate on one core, for each task of the array
#     MAX_TASKS=1000          tasks of the array at most (`scontrol show config | grep MaxArraySize`)
#     SBATCH_…                any option of sbatch that has such a variable: SBATCH_TIMELIMIT, SBATCH_GPUS, SBATCH_QOS
#
# Other options (cores, memory, walltime) are in array.sbatch. Planning reads the list of raw files and, the first time,
# their bytes: where that is too much for a login node, run this script in a job (`srun --time=2:00:00 --pty …`).
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
medcosmos=${MEDCOSMOS:-medcosmos}

plan=$("$medcosmos" plan "$@" --json)
of_plan() { python3 -c "import json, math, os, sys; plan = json.load(sys.stdin); print($1)" <<< "$plan"; }

name=$(of_plan 'plan["plan"]')
dataset=$(of_plan 'os.path.abspath(plan["dataset"]) if "://" not in plan["dataset"] else plan["dataset"]')

# Ids of the open shards, one a line. Task i of n runs lines i, i + n, i + 2 n, …
folder=$PWD/medcosmos-jobs/$name-$(date +%Y%m%dT%H%M%S)
mkdir -p "$folder"
of_plan '"".join(shard["id"] + "\n" for shard in plan["shards"] if shard["state"] == "open"), end=""' > "$folder/ids"
shards=$(wc -l < "$folder/ids")
tasks=$(of_plan "min(${MAX_TASKS:-1000}, $shards, math.ceil(plan['seconds'] / ${TASK_SECONDS:-3600}) or 1)")

dependency=()
if [ "$shards" -gt 0 ]; then
  array=$(sbatch --parsable --job-name="$name" --array="0-$((tasks - 1))" --output="$folder/%A_%a.log" \
    "$here/array.sbatch" "$medcosmos" "$dataset" "$folder/ids")
  # A task that fails, because one of its shards does, cancels the commit. `medcosmos retry DATASET --dry-run` tells why.
  dependency=(--dependency="afterok:${array%%;*}" --kill-on-invalid-dep=yes)
  echo "$name: array job ${array%%;*} with $tasks tasks for $shards shards"
fi

commit=$(env -u SBATCH_GPUS sbatch --parsable --job-name="commit-$name" "${dependency[@]}" --output="$folder/commit.log" \
  --cpus-per-task=1 --wrap "$(printf '%q commit %q %q' "$medcosmos" "$dataset" "$name")")
echo "$name: job ${commit%%;*} commits; logs are in $folder"
