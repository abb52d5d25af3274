"""Write requirements.lock: what the image installs, with hashes, from pyproject.toml and constraints.txt.

    python deploy/lock.py

For Python 3.11 on Linux, x86-64 and ARM, as in Ray's image. Without torch, whose builds for each kind of
processor come from an index of their own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "deploy" / "requirements.lock"
PLATFORMS = ("x86_64", "aarch64")
GLIBC = [f"manylinux_2_{minor}" for minor in range(35, 4, -1)] + [
    "manylinux2014",
    "manylinux2010",
    "manylinux1",
]
OF_TORCH = re.compile(r"torch|triton|nvidia-.*|cuda-.*")
HEAD = "# Made by python deploy/lock.py, for pip install --no-deps --require-hashes -r requirements.lock\n"


def main() -> None:
    """Ask pip which files it would install, and keep their hashes."""
    pins: dict[str, set[str]] = {}
    for platform in PLATFORMS:
        for item in resolve(platform):
            known = item["metadata"]
            name = re.sub(r"[-_.]+", "-", known["name"]).lower()
            if name != "react-ray" and not OF_TORCH.fullmatch(name):
                digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
                pins.setdefault(f"{name}=={known['version']}", set()).add(digest)
    lines = []
    for pin, digests in sorted(pins.items()):
        lines.append(" \\\n    ".join([pin, *(f"--hash=sha256:{digest}" for digest in sorted(digests))]))
    LOCK.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


def resolve(platform: str) -> list[dict[str, Any]]:
    """What pip would install on Linux with these processors."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    command += ["--report", "-", "--only-binary", ":all:", "--target", "unused", "--python-version", "3.11"]
    command += [word for glibc in GLIBC for word in ("--platform", f"{glibc}_{platform}")]
    command += ["-c", str(ROOT / "constraints.txt"), f"{ROOT}[demo]", *project["build-system"]["requires"]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    found: list[dict[str, Any]] = json.loads(done.stdout)["install"]
    return found


if __name__ == "__main__":
    main()
