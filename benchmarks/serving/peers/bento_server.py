"""bentoml serve bento_server:Classify --port PORT, with MODEL set: BentoML, adaptive batches of 32."""

from __future__ import annotations

import bentoml
from model import Model


@bentoml.service(workers=1)
class Classify:
    def __init__(self):
        self.model = Model()

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=1000)
    def predict(self, inputs: list[str]) -> list[list[dict]]:
        return self.model(inputs)
