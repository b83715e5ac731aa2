#!/usr/bin/env python3
"""One long film on a Ray cluster, or on several processes of this machine: each task makes a share of it.

    examples/ray-film.py 8 colorize film.mp4 color.mp4
    examples/ray-film.py 32 upscale film.mp4 large.mp4 --scale 2 --gpus 1

Needs ``pip install "gantool[ray]"``. The film, the output and gantool must be seen from all machines. More
shares than workers are well: a quick worker takes more of them. A share whose worker dies is started again by
Ray, and goes on where it ended; so does the whole when this is called again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import ray


def make_share(words: list[str], number: int, shares: int) -> int:
    """Run gantool on one share of the film; its exit code."""
    share = ("--segment", f"{number}/{shares}", "--progress", "log")
    return subprocess.run([sys.executable, "-m", "gantool", *words, *share], check=False).returncode


def main() -> None:
    parser = argparse.ArgumentParser(description="Make one film in shares on a Ray cluster.")
    parser.add_argument("shares", type=int, help="how many tasks, best several times the workers")
    parser.add_argument("command", help="colorize, upscale, translate or chain")
    parser.add_argument("film", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--gpus", type=float, default=0, help="GPUs of a task [0]")
    parser.add_argument("--cpus", type=float, default=1, help="processors of a task [1]")
    options, more = parser.parse_known_args()

    ray.init()  # a cluster's address stands in RAY_ADDRESS
    output = str(options.output.absolute())
    words = [options.command, str(options.film.absolute()), "-o", output, *more]
    share = ray.remote(make_share).options(num_cpus=options.cpus, num_gpus=options.gpus, max_retries=3)
    left = [share.remote(words, number, options.shares) for number in range(1, options.shares + 1)]
    while left:
        done, left = ray.wait(left)
        code = ray.get(done[0])
        if code:
            sys.exit(code)
        print(f"{options.shares - len(left)} of {options.shares} shares are done", file=sys.stderr)
    sys.exit(subprocess.run([sys.executable, "-m", "gantool", "join", output], check=False).returncode)


if __name__ == "__main__":
    main()
