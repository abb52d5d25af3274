"""What a run would read, refuse and cost, as a job: what ``react-ray check`` takes.

    react-ray submit --address http://127.0.0.1:8265 \
        python jobs/run_check.py --labeled /mnt/data/labels.csv
"""

from __future__ import annotations

import sys

from react_ray.cli import main

if __name__ == "__main__":
    sys.exit(main(["check", *sys.argv[1:]]))
