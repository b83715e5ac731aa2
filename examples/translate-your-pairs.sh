#!/bin/sh
# Learn to turn A into B from your own pairs (A in the left half of each picture and B in the right, or folders
# A/ and B/ with the same file names), then translate a picture. 200 steps only show that it works; leave --steps
# out for a real run. Interrupt it when you like: gantool train --resume run goes on with it.
#
#     examples/translate-your-pairs.sh pairs/ city.jpg
set -eu
pairs=${1:?folder of pairs}
picture=${2:?a picture to translate}
size=${SIZE:-256}
gantool train --task pix2pix "$pairs" --check
gantool train --task pix2pix "$pairs" -o run --steps "${STEPS:-200}" --set size="$size" --set ngf="${NGF:-64}"
gantool translate "$picture" --model run
