"""Settings of the customer-service assistant."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from react_ray.config.hosting import HostConfig
from react_ray.config.sections.base import Settings
from react_ray.config.sections.cluster import ClusterConfig

__all__ = ["AssistConfig", "ChatConfig"]


class AssistConfig(Settings):
    """Settings of ``react-ray assist build``."""

    history: str = Field(description="Questions and answers: csv, jsonl or parquet with question and answer")
    documents: str | None = Field(None, description="Folder of .txt, .md and .html files; None: no documents")
    templates: str | None = Field(None, description="YAML: intent -> template answer; None: no templates")
    reader: str | None = Field(
        None, description="Folder of a question answering model; None: the best sentences of what is found"
    )
    output: str = Field("out/assist", min_length=1, description="Folder of the result")
    columns: dict[str, str] = Field({}, description="For columns with another name in the files, that name")
    encoder: str = Field("auto", description="auto, embedded, multilingual, a hub name or a folder")
    max_length: int = Field(128, ge=8, description="Longest text in tokens; longer ones are cut")
    classifier: Literal["frozen", "run"] = Field(
        "frozen",
        description="frozen: on the encoder's features, in seconds; run: fine-tuned as react-ray run",
    )
    passage_chars: int = Field(800, ge=100, le=10_000, description="Longest passage of a document")
    precision: float = Field(
        0.9, gt=0, lt=1, description="Share of right answers, on held-out rows, above a threshold"
    )
    in_scope_recall: float = Field(
        0.95, gt=0, lt=1, description="Share of held-out questions that count as in scope"
    )
    tuning_rows: int = Field(1000, ge=50, description="Most questions that fit the weights and thresholds")
    seed: int = Field(0, ge=0, description="Seed of every random choice")
    cluster: ClusterConfig = Field(ClusterConfig(), description="Where the texts are encoded")


class ChatConfig(HostConfig):
    """Settings of ``react-ray assist serve``: those of every service, and those of conversations."""

    max_message_chars: int = Field(2000, ge=1, description="Longest message of a customer")
    max_turns: int = Field(100, ge=1, description="Most messages of a customer in a conversation")
    max_sessions: int = Field(100_000, ge=1, description="Most conversations that are kept")
    retention_days: float = Field(30.0, gt=0, description="Days after its last message that one is kept")
    handover_text: str = Field("", description="Said when a conversation is handed to a person")
    agents: tuple[str, ...] | None = Field(
        None, description="Names of keys that may answer as agents; None: every key, or all without keys"
    )
