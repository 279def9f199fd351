"""How often things break, how long they stay so, what breaks them, and how long models last.

pandas and lifelines are imported when something is analysed, not before.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.uptime.building import built_until
from pilewatch.uptime.periods import Period, microseconds, moment
from pilewatch.uptime.reading import Place, tallies

if TYPE_CHECKING:
    import pandas as pd

_SQL = queries.load("analysis")
Group = Literal["model", "charger", "site", "company", "area"]
GROUPS: tuple[Group, ...] = ("model", "charger", "site", "company", "area")
_HOUR = 3_600_000_000
_NO_MODEL = "unknown"
LOOKED_AT = (30, 90, 180, 365)
"""Days after which survival is told."""


@dataclass(frozen=True)
class Analysis:
    """Plain rows, ready to be shown: hours, shares and counts.

    `reliability`: group, connectors, failures, mtbf_h (working hours by failures), mttr_h (mean of
    those that ended), downtime_h. `pareto`: code, failures, hours, share, cumulative (of hours).
    `worst`: charger, site, model, down_h, failures. `survival`: model, periods, failures,
    median_days, after (days -> share that had no failure yet).
    """

    reliability: list[dict[str, Any]]
    pareto: list[dict[str, Any]]
    worst: list[dict[str, Any]]
    survival: list[dict[str, Any]]


def analyse(
    db: Db, found: list[Place], period: Period, *, by: Group = "model", worst: int = 20
) -> Analysis:
    """What happened to these connectors in the period, as far as it is known."""
    import pandas as pd  # noqa: PLC0415

    counted = tallies(db, found, period)
    if not counted:
        return Analysis([], [], [], [])
    until = built_until(db)
    assert until is not None  # something was counted
    begins, ends = _range(counted, period, until)
    time = pd.DataFrame(
        {
            "connector": place.id,
            **_groups(place),
            "working_h": tally.working / _HOUR,
            "down_h": (tally.service - tally.working) / _HOUR,
        }
        for place, tally in counted
    )
    failures = _failures(db, [place for place, _ in counted], begins, ends)
    return Analysis(
        reliability=_reliability(time, failures, by),
        pareto=_pareto(failures),
        worst=_worst(time, failures, worst),
        survival=_survival(time, failures, begins, ends),
    )


def _range(counted: list[Any], period: Period, until: datetime) -> tuple[datetime, datetime]:
    spans = [period.span(zone) for zone in {place.timezone for place, _ in counted}]
    ends = min(max(span[1] for span in spans), microseconds(until))
    return moment(min(span[0] for span in spans)), moment(ends)


def _groups(place: Place) -> dict[str, Any]:
    return {
        "model": place.model or _NO_MODEL,
        "charger": place.charger,
        "site": place.site,
        "company": place.company or _NO_MODEL,
        "area": place.area,
    }


def _failures(db: Db, found: list[Place], begins: datetime, ends: datetime) -> "pd.DataFrame":
    """One row for each failure, with the groups of what failed and its hours within the range.

    A failure of a site or gateway belongs to no model and no charger.
    """
    import pandas as pd  # noqa: PLC0415

    chargers = {place.charger_id: place for place in found}
    sites = {place.site_id: place for place in found}
    values = {"from_at": begins, "to_at": ends, "sites": list(sites)}
    rows = []
    for row in db.execute(_SQL["failures"], values):
        place = chargers.get(row["charger_id"])
        if place is None and row["charger_id"] is not None:
            continue
        groups = _groups(place or sites[row["site_id"]])
        if place is None:
            groups |= {"model": None, "charger": None}
        over = min(row["ended_at"] or ends, ends)
        rows.append(
            {
                **groups,
                "code": row["code"],
                "began": row["started_at"],
                "ended": row["ended_at"],
                "hours": (over - max(row["started_at"], begins)).total_seconds() / 3600,
                "new": row["started_at"] >= begins,
            }
        )
    columns = [*GROUPS, "code", "began", "ended", "hours", "new"]
    frame = pd.DataFrame(rows, columns=columns)
    for name in ("began", "ended"):
        frame[name] = pd.to_datetime(frame[name], utc=True)
    return frame


def _reliability(time: "pd.DataFrame", failures: "pd.DataFrame", by: Group) -> list[dict[str, Any]]:
    """Of each group; failures that began earlier count with their hours only."""
    rows = []
    for name, part in time.groupby(by, sort=True):
        mine = failures[failures[by] == name]
        new = mine[mine["new"].astype(bool)]
        took = (mine["ended"] - mine["began"]).dropna().dt.total_seconds() / 3600
        working = float(part["working_h"].sum())
        rows.append(
            {
                "group": str(name),
                "connectors": len(part),
                "failures": len(new),
                "mtbf_h": working / len(new) if len(new) else None,
                "mttr_h": float(took.mean()) if len(took) else None,
                "downtime_h": float(part["down_h"].sum()),
            }
        )
    return rows


def _pareto(failures: "pd.DataFrame") -> list[dict[str, Any]]:
    """Fault codes by their hours, the worst one first, with the cumulated share."""
    if failures.empty:
        return []
    table = failures.groupby("code").agg(failures=("new", "sum"), hours=("hours", "sum"))
    table = table.sort_values("hours", ascending=False, kind="stable")
    whole = table["hours"].sum()
    table["share"] = table["hours"] / whole if whole else 0.0
    table["cumulative"] = table["share"].cumsum()
    return [
        {
            "code": str(code),
            "failures": int(row["failures"]),
            **{name: float(row[name]) for name in ("hours", "share", "cumulative")},
        }
        for code, row in table.iterrows()
    ]


def _worst(time: "pd.DataFrame", failures: "pd.DataFrame", most: int) -> list[dict[str, Any]]:
    """Chargers by the hours that their connectors could not be used."""
    table = time.groupby(["charger", "site", "model"], as_index=False)["down_h"].sum()
    table = table[table["down_h"] > 0].sort_values(["down_h", "charger"], ascending=[False, True])
    counts = failures[failures["new"].astype(bool)].groupby("charger").size()
    return [
        {
            **{name: str(row[name]) for name in ("charger", "site", "model")},
            "down_h": float(row["down_h"]),
            "failures": int(counts.get(row["charger"], 0)),
        }
        for _, row in table.head(most).iterrows()
    ]


def _survival(
    time: "pd.DataFrame", failures: "pd.DataFrame", begins: datetime, ends: datetime
) -> list[dict[str, Any]]:
    """Kaplan–Meier by model: days from the beginning, or a repair, to the next failure.

    A charger's period without a failure that the range's end cuts short is censored.
    """
    from lifelines import KaplanMeierFitter  # noqa: PLC0415

    known = failures.dropna(subset=["charger"])
    stretches: dict[str, tuple[list[float], list[bool]]] = {}
    for (model, charger), _ in time.groupby(["model", "charger"], sort=True):
        days, failed = stretches.setdefault(str(model), ([], []))
        since: datetime | None = begins
        for began, ended in _melted(known[known["charger"] == charger], ends):
            if since is not None and began > since:
                days.append((began - since).total_seconds() / 86400)
                failed.append(True)
            since = ended if ended < ends else None
        if since is not None and since < ends:
            days.append((ends - since).total_seconds() / 86400)
            failed.append(False)
    rows = []
    for model, (days, failed) in stretches.items():
        if not days:
            continue
        fitter = KaplanMeierFitter().fit(days, failed)
        longest, median = max(days), float(fitter.median_survival_time_)
        rows.append(
            {
                "model": model,
                "periods": len(days),
                "failures": sum(failed),
                "median_days": median if median != float("inf") else None,
                "after": {
                    str(day): float(fitter.predict(day)) for day in LOOKED_AT if day <= longest
                },
            }
        )
    return rows


def _melted(failures: "pd.DataFrame", ends: datetime) -> list[tuple[datetime, datetime]]:
    """One charger's failures in order, those that overlap as one; an open one lasts to the end."""
    found: list[tuple[datetime, datetime]] = []
    for began, ended in zip(failures["began"], failures["ended"].fillna(ends), strict=True):
        if found and began <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], ended))
        else:
            found.append((began, ended))
    return found
