"""Label a file of any size, as a job: what ``react-ray predict`` takes.

    react-ray submit --address http://127.0.0.1:8265 \
        python jobs/run_predict.py /mnt/data/run --input /mnt/data/new.csv --output /mnt/data/out.csv
"""

from __future__ import annotations

import sys

from react_ray.cli import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]]))
