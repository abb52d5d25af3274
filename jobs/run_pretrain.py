"""Train an encoder on texts without labels, as a job: what ``react-ray pretrain`` takes.

    react-ray submit --address http://127.0.0.1:8265 \
        python jobs/run_pretrain.py --input /mnt/data/texts.csv --output /mnt/data/encoder
"""

from __future__ import annotations

import sys

from react_ray.cli import main

if __name__ == "__main__":
    sys.exit(main(["pretrain", *sys.argv[1:]]))
