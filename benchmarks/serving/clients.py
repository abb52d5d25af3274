"""The Python clients of KServe and Triton against a service: what each of their calls gives.

    react-ray serve out/ &
    python -m benchmarks.serving.clients [http://127.0.0.1:8000]

Each client is installed into an environment of its own, which is removed at the end.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

KSERVE = """
import asyncio, sys
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

async def main(url):
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    print("health", await client.is_server_live(url), await client.is_server_ready(url))
    print("model ready", await client.is_model_ready(url, "classifier"))
    for binary in (False, True):
        tensor = InferInput("text", [2], "BYTES")
        tensor.set_data_from_numpy(np.array([b"a text", "股市".encode()], dtype=object), binary_data=binary)
        request = InferRequest("classifier", [tensor], request_id="7")
        answer = await client.infer(url, request, model_name="classifier")
        print(f"infer, binary={binary}", [list(output.as_numpy().shape) for output in answer.outputs])

asyncio.run(main(sys.argv[1]))
"""
TRITON = """
import sys
import numpy as np
from tritonclient import http

client = http.InferenceServerClient(sys.argv[1].partition("://")[2])
print("health", client.is_server_live(), client.is_server_ready())
print("model ready", client.is_model_ready("classifier"), client.is_model_ready("classifier", "1"))
print("server", client.get_server_metadata()["name"])
print("versions", client.get_model_metadata("classifier", "1")["versions"])
for binary in (True, False):
    for out in (None, True, False):
        tensor = http.InferInput("text", [2], "BYTES")
        tensor.set_data_from_numpy(np.array(["a text", "股市"], dtype=object), binary_data=binary)
        outputs = out if out is None else [http.InferRequestedOutput("label", binary_data=out)]
        more = {"request_id": "7", "model_version": "1", "priority": 1}
        answer = client.infer("classifier", [tensor], outputs=outputs, **more)
        print(f"infer, binary={binary}, outputs {out}", list(answer.as_numpy("label").shape))
"""
CLIENTS = {"kserve": ("kserve", KSERVE), "triton": ("tritonclient[http]", TRITON)}


def main(url: str) -> None:
    """Run each client in its environment and print what it says."""
    for name, (package, script) in CLIENTS.items():
        with tempfile.TemporaryDirectory() as folder:
            venv.create(folder, with_pip=True)
            python = Path(folder) / "bin" / "python"
            subprocess.run([python, "-m", "pip", "install", "--quiet", package], check=True)
            print(f"{name}:", flush=True)
            subprocess.run([python, "-c", script, url], check=True, timeout=120)


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["http://127.0.0.1:8000"]))
