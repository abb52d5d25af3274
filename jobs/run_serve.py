"""Put a model online from a job, until the job is stopped: what ``react-ray serve`` takes.

    react-ray submit --address http://127.0.0.1:8265 \
        python jobs/run_serve.py /mnt/data/run --port 8000
"""

from __future__ import annotations

import sys

from react_ray.cli import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
