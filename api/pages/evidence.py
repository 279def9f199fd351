"""Evidence in words: what the machine saw of a fault, and what proved a repair."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api.pages.words import Speech


def seen(  # noqa: PLR0911 - one case for each kind of evidence
    t: Speech, said: Mapping[str, Any] | None
) -> str:
    """One sentence of what a detector saw; what it does not know it leaves out."""
    if not said:
        return ""
    if isinstance(error := said.get("error"), Mapping):
        text = t("seen.said", fault=t(f"fault.{error.get('code')}"))
        own = [str(error[key]) for key in ("vendorCode", "info") if error.get(key)]
        return f"{text} ({' · '.join(own)})" if own else text
    if isinstance(said.get("value"), int | float) and isinstance(said.get("limit"), int | float):
        value, limit = (t.number(said[word], 1) for word in ("value", "limit"))
        return t("seen.measured", value=value, limit=limit)
    if said.get("alert"):
        return t("seen.alert", alert=said["alert"], summary=said.get("summary") or "")
    if "silent" in said:
        return t("seen.silent", silent=said["silent"], chargers=said["chargers"])
    if by := said.get("by"):
        return t(
            "seen.last-will" if by == "last will" else "seen.heartbeats",
            ago=_ago(t, said.get("last_seen_at")),
        )
    return t("seen.stale", ago=_ago(t, said["heard_at"])) if "heard_at" in said else ""


def proof(t: Speech, evidence: Mapping[str, Any] | None) -> str:
    """One sentence of what showed that the repair is real."""
    if not evidence:
        return ""
    match evidence.get("kind"):
        case "session":
            return t("proof.session", wh=t.number(evidence["energy_wh"]))
        case "idle" | "online" as kind:
            return t(f"proof.{kind}", span=t.span(evidence["seconds"]))
        case other:
            return t(f"proof.{other}")


def _ago(t: Speech, moment: str | None) -> str:
    return t.ago(datetime.fromisoformat(moment)) if moment else t("time.never")
