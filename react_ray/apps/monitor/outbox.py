"""Alerts with the texts behind them, and their way to a webhook: again until it is received."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from react_ray.apps.monitor.items import BUCKETS
from react_ray.apps.monitor.query import Selection, texts
from react_ray.apps.monitor.settings import MonitorConfig
from react_ray.apps.monitor.store import Store
from react_ray.apps.monitor.watch import ALL

__all__ = ["alerts", "deliver"]

logger = logging.getLogger("react_ray.monitor")
TIMEOUT_S = 10.0
AT_ONCE = 5
"""Most alerts of one round, so that labelling does not wait long for a slow receiver."""
FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 3600.0


def alerts(
    store: Store, config: MonitorConfig, negative: str, limit: int = 50, before: float | None = None
) -> list[dict[str, Any]]:
    """Return alerts with the texts behind them, the latest first; ``before`` is a time in seconds."""
    query = "SELECT id, content, sent FROM alerts WHERE bucket < ? ORDER BY bucket DESC, id LIMIT ?"
    rows = store.rows(query, [2**62 if before is None else before, limit])
    return [
        {**_with_texts(store, config, negative, row["id"], row["content"]), "sent": bool(row["sent"])}
        for row in rows
    ]


def _with_texts(
    store: Store, config: MonitorConfig, negative: str, identity: str, content: str
) -> dict[str, Any]:
    """Return an alert as JSON; its texts are read from the store, so that a forgotten one is not in it."""
    alert = {"buckets": 1, **json.loads(content)}
    length = BUCKETS[config.bucket]
    of = Selection(
        topic=None if alert["topic"] == ALL else alert["topic"],
        source=None if alert["source"] == ALL else alert["source"],
        sentiment=None if alert["kind"] == "unsure" else negative,
        start=alert["bucket"] - (alert["buckets"] - 1) * length,
        end=alert["bucket"] + length,
    )
    return {"id": identity, **alert, "texts": texts(store, of, config.alert_texts)}


def deliver(store: Store, config: MonitorConfig, negative: str, now: float | None = None) -> int:
    """Send alerts that are due to the webhook; return how many it received.

    An alert is sent until the webhook answers with a status of 200 to 299, with longer and longer waits. A
    process that is killed in between sends it again: receivers know it by its id, which is also the header
    ``Idempotency-Key``.
    """
    if config.webhook is None:
        return 0
    now = time.time() if now is None else now
    query = "SELECT id, content, tries FROM alerts WHERE sent = 0 AND next_try <= ? ORDER BY bucket LIMIT ?"
    received = 0
    for row in store.rows(query, [now, AT_ONCE]):
        content = _with_texts(store, config, negative, row["id"], row["content"])
        if problem := _post(config.webhook, row["id"], content):
            wait = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(row["tries"], 20))
            logger.warning("alert %s is not sent (%s): again in %.0f s", row["id"], problem, wait)
            with store.transaction() as base:
                values = [now + wait, row["id"]]
                base.execute("UPDATE alerts SET tries = tries + 1, next_try = ? WHERE id = ?", values)
            break
        with store.transaction() as base:
            base.execute("UPDATE alerts SET sent = 1, tries = tries + 1 WHERE id = ?", [row["id"]])
        received += 1
    return received


def _post(url: str, identity: str, content: dict[str, Any]) -> str:
    """Send an alert; return why it was not received, without the address, which may have a secret."""
    import httpx2

    try:
        answer = httpx2.post(url, json=content, headers={"Idempotency-Key": identity}, timeout=TIMEOUT_S)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return type(error).__name__
    return "" if answer.is_success else f"status {answer.status_code}"
