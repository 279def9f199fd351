"""Communities made by rule, for thousands of chargers, and writing any registry as a file."""

import math
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml
from msgspec import Meta, Struct

from pilewatch.store.registry_file import (
    Area,
    Charger,
    Company,
    Gateway,
    Grid,
    Plug,
    Registry,
    Site,
)

Count = Annotated[int, Meta(ge=0, le=100_000)]
Ports = Annotated[int, Meta(ge=1, le=99)]


class Community(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many of what. `gateways` is the share of sites whose chargers share one gateway."""

    prefix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,16}$")] = "S"
    grids: Annotated[int, Meta(ge=1, le=10_000)] = 3
    sites: Annotated[int, Meta(ge=1, le=50_000)] = 8
    ebike: Count = 40
    car: Count = 20
    ports: tuple[Ports, Ports] = (10, 20)
    guns: tuple[Annotated[int, Meta(ge=1, le=8)], Annotated[int, Meta(ge=1, le=8)]] = (1, 2)
    gateways: Annotated[float, Meta(ge=0, le=1)] = 0.5
    latitude: Annotated[float, Meta(ge=-80, le=80)] = 32.13
    longitude: Annotated[float, Meta(ge=-179, le=179)] = 114.07


def build(wanted: Community) -> Registry:
    """The registry of such a community; the same every time."""
    made, prefix = Registry(), wanted.prefix
    area = f"{prefix}-area"
    made.areas[area] = Area(code=area, name=f"{prefix} 社区")
    for n in (1, 2):
        code = f"{prefix}-op{n}"
        made.companies[code] = Company(
            code=code, name=f"{prefix} 充电运营{n}", phone="0376-5550100"
        )
    for n in range(1, wanted.grids + 1):
        code = f"{prefix}-g{n}"
        made.grids[code] = Grid(code=code, area=area, name=f"第{n}网格")
    for n in range(1, wanted.sites + 1):
        code = f"{prefix}-s{n}"
        angle, far = n * 2.39996, 0.0012 * math.sqrt(n)
        made.sites[code] = Site(
            code=code,
            grid=f"{prefix}-g{(n - 1) % wanted.grids + 1}",
            name=f"{n}号充电点",
            company=f"{prefix}-op{n % 2 + 1}",
            latitude=round(wanted.latitude + far * math.sin(angle), 6),
            longitude=round(wanted.longitude + far * math.cos(angle), 6),
            repair_phone="0376-5550100",
        )
        if math.floor(n * wanted.gateways) > math.floor((n - 1) * wanted.gateways):
            gateway = f"{prefix}-gw{n}"
            made.gateways[gateway] = Gateway(code=gateway, site=code)
    for n in range(1, wanted.ebike + 1):
        _add(made, wanted, "ebike", f"{prefix}-E{n:04}", n)
    for n in range(1, wanted.car + 1):
        _add(made, wanted, "car", f"{prefix}-C{n:04}", n)
    return made


def _add(made: Registry, wanted: Community, kind: Any, code: str, n: int) -> None:
    site = (n - 1) % wanted.sites + 1
    low, high = wanted.ports if kind == "ebike" else wanted.guns
    gateway = f"{wanted.prefix}-gw{site}"
    made.chargers[code] = Charger(
        code=code,
        site=f"{wanted.prefix}-s{site}",
        kind=kind,
        label=f"{n}号{'柜' if kind == 'ebike' else '桩'}",
        connectors=low + (n * 7) % max(high - low + 1, 1),
        gateway=gateway if gateway in made.gateways else None,
        vendor="信充" if n % 2 else "绿驿",
        model="XC-E" if kind == "ebike" else "XC-A7",
        max_power_w=1000.0 if kind == "ebike" else 7000.0,
    )


def give_devices(registry: Registry) -> None:
    """Number e-bike cabinets and hosts as under their QR codes, where the registry does not."""
    taken = {row.device for row in registry.chargers.values()}
    taken |= {row.device for row in registry.gateways.values()}
    free = (name for n in count(13_000_001) if (name := f"dny-{n}") not in taken)
    for cabinet in registry.chargers.values():
        if cabinet.kind == "ebike":
            cabinet.device = cabinet.device or next(free)
    for host in registry.gateways.values():
        host.device = host.device or next(free)


def write_registry_file(registry: Registry, path: Path) -> None:
    """Write the registry as YAML that `pilewatch registry load` reads."""
    sections = {
        name: [_row(row) for row in getattr(registry, name).values()]
        for name in ("areas", "companies", "grids", "sites", "gateways", "chargers")
    }
    text = yaml.safe_dump(sections, allow_unicode=True, sort_keys=False, width=200)
    path.write_text(text, encoding="utf-8")


def _row(row: Struct) -> dict[str, Any]:
    values: dict[str, Any] = {k: v for k, v in msgspec.to_builtins(row).items() if v is not None}
    connectors = values.get("connectors")
    if isinstance(connectors, list):
        plugs = [msgspec.convert(plug, Plug) for plug in connectors]
        values["connectors"] = [
            {k: v for k, v in msgspec.to_builtins(p).items() if v is not None} for p in plugs
        ]
    return values
