"""python mosec_server.py --address 127.0.0.1 --port PORT, with MODEL set: mosec, batches of 32."""

from __future__ import annotations

from model import Model
from mosec import Server, Worker


class Classify(Worker):
    def __init__(self):
        super().__init__()
        self.model = Model()

    def forward(self, data):
        return self.model([request["inputs"] for request in data])


if __name__ == "__main__":
    server = Server()
    server.append_worker(Classify, num=1, max_batch_size=32, max_wait_time=5)
    server.run()
