"""The demonstration on BBC News, as a job: what ``react-ray demo`` takes.

    react-ray submit --address http://127.0.0.1:8265 \
        python jobs/run_demo.py --output /mnt/data/demo
"""

from __future__ import annotations

import sys

from react_ray.cli import main

if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))
