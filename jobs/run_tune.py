"""A search for hyperparameters and the run with the best, as a job: what ``react-ray tune`` takes.

    react-ray submit --address http://127.0.0.1:8265 \
        python jobs/run_tune.py --labeled /mnt/data/labels.csv --output /mnt/data/run
"""

from __future__ import annotations

import sys

from react_ray.cli import main

if __name__ == "__main__":
    sys.exit(main(["tune", *sys.argv[1:]]))
