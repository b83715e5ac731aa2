#!/bin/sh
# Enlarge photos one by one in a shell loop and keep a list of those that failed.
#
#     examples/upscale-loop.sh 2 photos/*.jpg
set -u
scale=${1:?scale}
shift
failed=0
for photo in "$@"; do
    if ! gantool upscale "$photo" --scale "$scale" --skip-existing --quiet; then
        echo "$photo" >>failed.txt
        failed=$((failed + 1))
    fi
done
echo "$failed of $# failed"
[ "$failed" -eq 0 ]
