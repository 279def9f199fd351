"""Incidents as Alertmanager's webhook document, version 4. Pure.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from alerts.notify.news import News
from alerts.notify.words import Words

_NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time: the alert has not ended."""


def document(news: Sequence[News], receiver: str, public_url: str) -> dict[str, Any]:
    """One group of alerts: what one message says of one site."""
    alerts = [_alert(one, public_url) for one in news]
    firing = any(alert["status"] == "firing" for alert in alerts)
    group = {"site": news[0].site or ""} if news else {}
    return {
        "version": "4",
        "groupKey": f"{{}}:{json.dumps(group, ensure_ascii=False)}",
        "truncatedAlerts": 0,
        "status": "firing" if firing else "resolved",
        "receiver": receiver,
        "groupLabels": group,
        "commonLabels": _common([alert["labels"] for alert in alerts]),
        "commonAnnotations": _common([alert["annotations"] for alert in alerts]),
        "externalURL": public_url,
        "alerts": alerts,
    }


def _alert(news: News, public_url: str) -> dict[str, Any]:
    labels = {
        "alertname": news.code or "unknown",
        "severity": {1: "critical", 2: "warning"}.get(news.severity, "info"),
        "incident": str(news.incident_id),
        **{name: str(value) for name, value in _place(news).items() if value is not None},
    }
    resolved = news.topic == "incident.cleared" and news.ended_at is not None
    message = Words("en", public_url).message([news])
    link = f"/console/tickets/{news.ticket_id}" if news.ticket_id is not None else "/console"
    return {
        "status": "resolved" if resolved else "firing",
        "labels": labels,
        "annotations": {"summary": message.title, "description": message.body},
        "startsAt": (news.started_at or news.created_at).isoformat(),
        "endsAt": news.ended_at.isoformat() if resolved and news.ended_at else _NEVER,
        "generatorURL": public_url.rstrip("/") + link,
        "fingerprint": _fingerprint(labels),
    }


def _place(news: News) -> dict[str, object]:
    return {"site": news.site, "charger": news.charger, "connector": news.connector}


def _fingerprint(labels: dict[str, str]) -> str:
    """The same for the same labels: firing and resolved are one alert."""
    told = "\0".join(f"{k}\0{v}" for k, v in sorted(labels.items()))
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _common(all_of_them: list[dict[str, str]]) -> dict[str, str]:
    if not all_of_them:
        return {}
    first, *rest = all_of_them
    return {k: v for k, v in first.items() if all(other.get(k) == v for other in rest)}
