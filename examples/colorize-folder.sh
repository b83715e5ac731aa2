#!/bin/sh
# Colour every film and photo of a folder into another one. Run it again after an interruption: what is
# there already is skipped, a long film goes on, and one bad file does not stop the rest (exit code 8 tells that some failed).
#
#     examples/colorize-folder.sh old/ colored/
set -eu
gantool colorize "${1:?folder of films and photos}" --recursive -o "${2:?output folder}/" --skip-existing --continue
