#!/bin/sh
# Paint a folder of photos and films in the style of each of several pictures, a folder for each; run again, it
# goes on with what is missing.
#
#     examples/paint-album.sh album painted art/*.jpg
set -eu
album=${1:?a folder of photos and films}
out=${2:?where to write}
shift 2
: "${1:?pictures whose styles are wanted}"
status=0
for art in "$@"; do
    name=${art##*/}
    # A picture that cannot be read is told, and keeps no other style waiting.
    gantool style "$album" -o "$out/${name%.*}" --style "$art" --recursive --skip-existing || status=$?
done
exit "$status"
