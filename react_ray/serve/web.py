"""HTTP application of a replica with a model: the routes of all its protocols."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from react_ray.serve.frame import Scrape, frame
from react_ray.serve.limits.refusal import RefusalError
from react_ray.serve.protocols.bulk import add_bulk
from react_ray.serve.protocols.explain import add_explanation
from react_ray.serve.protocols.model import add_model
from react_ray.serve.protocols.page import add_static_page
from react_ray.serve.protocols.predict import add_prediction
from react_ray.serve.protocols.triples import add_triples
from react_ray.serve.protocols.v2.binary import HEADER
from react_ray.serve.protocols.v2.http import add_inference_v2
from react_ray.serve.service import NOT_READY, Service

__all__ = ["build_app"]


def build_app(service: Service, scrape: Scrape) -> FastAPI:
    """Build the application; ``scrape`` returns the metrics of all replicas as Prometheus text."""

    def add_routes(app: FastAPI) -> None:
        add_prediction(app, service)
        add_triples(app, service)
        add_explanation(app, service)
        add_model(app, service)
        add_bulk(app, service)
        add_inference_v2(app, service)
        add_static_page(app, "/", "try.html")

    async def state() -> dict[str, Any]:
        if not await service.ready():
            raise RefusalError(503, NOT_READY)
        return {"labels": service.labels, "engine": service.about.engine}

    description = f"{service.task.title.capitalize()}. What the model finds, with its probability."
    return frame(service, add_routes, state, scrape, description, headers=[HEADER])
