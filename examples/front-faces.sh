#!/bin/sh
# Every face of a folder's pictures from the front, and a list of them: file, yaw in degrees, place of the face.
#
#   examples/front-faces.sh PHOTOS OUT [OPTIONS OF gantool frontalize]
#
# Use pictures of people who agreed to it. The result is invented detail, not evidence of how somebody looks.
set -eu
photos=${1:?which folder of pictures?}
out=${2:?which folder for the faces?}
shift 2
mkdir -p "$out"
status=0
# The list grows: with --skip-existing, a later run tells of new pictures only.
gantool frontalize "$photos" -o "$out/" --faces all --recursive --json "$@" >>"$out/faces.jsonl" || status=$?
# Pictures without a face are told, and end with exit code 3 (the only one) or 8 (one of several).
python3 - "$out/faces.jsonl" <<'END'
import json
import sys

records = map(json.loads, open(sys.argv[1], encoding="utf-8"))
for record in {record["source"]: record for record in records}.values():  # the latest of each picture
    for face in record["faces"]:
        yaw = "?" if face["yaw"] is None else f"{face['yaw']:+.0f}"
        print(face["output"], yaw, *(round(value) for value in face["box"]), sep="\t")
END
exit "$status"
