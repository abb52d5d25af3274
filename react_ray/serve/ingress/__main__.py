"""Print the environment variables for a shell."""

from __future__ import annotations

import shlex
import sys

from react_ray.config.file import load_serve_config
from react_ray.serve.ingress.settings import variables

if __name__ == "__main__":
    for name, value in variables(load_serve_config(sys.argv[1:])).items():
        print(f"export {name}={shlex.quote(value)}")
