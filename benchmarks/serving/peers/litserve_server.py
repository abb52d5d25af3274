"""python litserve_server.py PORT, with MODEL in the environment: LitServe, dynamic batches of 32."""

from __future__ import annotations

import sys

import litserve
from model import Model


class Api(litserve.LitAPI):
    def setup(self, device):
        self.model = Model()

    def decode_request(self, request):
        return request["inputs"]

    def predict(self, texts):
        return self.model(texts)

    def encode_response(self, output):
        return output


if __name__ == "__main__":
    api = Api(max_batch_size=32, batch_timeout=0.005)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
