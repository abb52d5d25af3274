"""An application with a store in an owner, as tests host it."""

from __future__ import annotations

import os
from pathlib import Path

from fastapi import FastAPI, HTTPException
from pydantic import Field

from react_ray import Host, HostConfig, HostedApp, InputError
from react_ray.config.sections.base import Settings

__all__ = ["GreetingConfig", "Greetings", "load", "open_store"]


class GreetingConfig(HostConfig):
    """Settings of the application."""

    word: str = Field("hello", description="Said before the name")


class Greeted(Settings):
    """A request."""

    name: str = Field(max_length=20, description="Who is greeted")


class Greetings(HostedApp):
    """Greets by name, and counts in the owner how often."""

    title = "Greetings"
    description = "Says hello."
    page = "<!doctype html><title>Greetings</title>"

    def __init__(self, folder: Path, host: Host):
        self.version = (folder / "version.txt").read_text()
        self._host = host

    def add_routes(self, app: FastAPI) -> None:
        @app.post("/greet", summary="Greet somebody")
        async def greet(greeted: Greeted) -> dict[str, object]:
            if greeted.name == "nobody":
                raise HTTPException(404, "nobody is not here")
            count = await self._host.owner.call("add", greeted.name)
            return {
                "said": f"{self._host.config.word} {greeted.name}",  # type: ignore[attr-defined]
                "count": count,
                "replica": os.getpid(),
                "owner": await self._host.owner.call("process"),
            }

        @app.get("/fail")
        async def fail() -> None:
            raise RuntimeError("a secret")


class Store:
    """Counts of names, in a file that is written before an answer."""

    def __init__(self, folder: Path):
        self._file = folder / "names.txt"

    async def add(self, name: str) -> int:
        if name == "bad":
            raise InputError("the name 'bad' is not taken")
        with self._file.open("a") as file:
            file.write(name + "\n")
        return self._file.read_text().split().count(name)

    def process(self) -> int:
        return os.getpid()

    def close(self) -> None:
        with self._file.open("a") as file:
            file.write("closed\n")


def load(folder: Path, host: Host) -> Greetings:
    return Greetings(folder, host)


def open_store(folder: Path, config: HostConfig) -> Store:
    return Store(folder)
