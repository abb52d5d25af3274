"""The assistant of a running service: loaded again when ``learn``, ``forget`` or ``build`` has changed it."""

from __future__ import annotations

import logging
from pathlib import Path

from react_ray import InputError
from react_ray.apps.assist.assistant import Assistant
from react_ray.apps.assist.folder import FILES, Built, FileStates, file_states, load_assistant
from react_ray.apps.files import version_of

__all__ = ["LiveAssistant"]

_Loaded = tuple[Built, Assistant]
logger = logging.getLogger("react_ray.assist")


class LiveAssistant:
    """The assistant in ``folder``; one thread calls its methods.

    Raises InputError if there is no complete assistant.

    Attributes
    ----------
    version
        Hash of the files that answers depend on.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._states, self._loaded, self.version = self._load(None)

    def current(self) -> Assistant:
        """Return the assistant, which is loaded again if its files have changed.

        While a build replaces them, and if they cannot be used, it is the one that was loaded last.
        """
        states = file_states(self._folder)
        if states is not None and states != self._states:
            try:
                self._states, self._loaded, self.version = self._load(self._loaded)
                logger.info("the assistant was changed and is loaded again: version %s", self.version)
            except InputError as error:
                if file_states(self._folder) == states:
                    self._states = states  # do not try again before it is changed
                    logger.warning("the assistant was changed and cannot be loaded: %s", error)
        return self._loaded[1]

    def _load(self, earlier: _Loaded | None) -> tuple[FileStates | None, _Loaded, str]:
        states = file_states(self._folder)
        loaded = load_assistant(self._folder, earlier)
        try:
            version = version_of(self._folder, FILES)
        except FileNotFoundError:
            raise InputError(f"{self._folder}: a build has begun") from None
        if file_states(self._folder) != states:
            raise InputError(f"{self._folder} was changed while it was loaded")
        return states, loaded, version
