#!/bin/sh
# One long film on the machines of a Slurm cluster: an array of jobs makes its shares, a last one joins them.
# The film, the output and gantool must be seen from all machines; submit from the folder with the film.
#
#   examples/slurm-film.sh 16 colorize film.mp4 color.mp4
#   SBATCH="--gpus=1 --time=4:00:00" examples/slurm-film.sh 16 upscale film.mp4 large.mp4 --scale 2
#
# A share that is stopped (time limit, lost machine) goes on where it ended when it is queued again. If one
# failed for good, call this again: what is done stays done.
set -eu

if [ $# -lt 4 ]; then
    echo "usage: slurm-film.sh SHARES COMMAND FILM OUTPUT [OPTION...]" >&2
    exit 2
fi
shares=$1 command=$2 film=$3 output=$4

if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then # one of the array
    shift 4
    exec gantool "$command" "$film" -o "$output" --segment "$SLURM_ARRAY_TASK_ID/$shares" --progress log "$@"
elif [ -n "${GANTOOL_JOIN:-}" ]; then # the job behind it
    exec gantool join "$output"
fi

# The options in SBATCH are meant to be split into words.
# shellcheck disable=SC2086
array=$(sbatch --parsable --requeue --array="1-$shares" ${SBATCH:-} "$0" "$@")
sbatch --dependency="afterok:${array%%;*}" --export="ALL,GANTOOL_JOIN=1" "$0" "$@"
