#!/bin/sh
# Mend an old film or photo (scratches, dust, grain, fading) with the built-in net, then colour it. What lies in
# between is kept beside the result; delete it when you are content.
#
#     examples/restore-old-film.sh old.mp4 color.mp4
set -eu
old=${1:?a film, or a photo}
new=${2:?where to write the result}
name=$(basename "$new")
clean=$(dirname "$new")/${name%.*}.clean.${old##*.}
gantool translate "$old" --model restore -o "$clean"
gantool colorize "$clean" -o "$new"
