#!/bin/sh
# Fine-tune the upscaler on your own photos, then use what was trained. 200 steps only show that it works;
# leave --steps out for a real run. Interrupt it when you like: --resume goes on with it.
#
#     examples/train-your-own.sh photos/ small.jpg
set -eu
photos=${1:?folder of photos}
picture=${2:?a picture to enlarge}
gantool train --task upscale "$photos" -o run --steps "${STEPS:-200}" --set scale=2 --set width=32 --set depth=8
gantool upscale "$picture" --model run/model.safetensors --scale 2
