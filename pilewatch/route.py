"""The order in which a round's piles are walked to. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import asin, cos, radians, sin, sqrt

_EARTH_M = 6_371_000


@dataclass(frozen=True)
class Place:
    """A pile and where it stands, in degrees; None where nobody knows."""

    charger: str
    site: str
    latitude: float | None = None
    longitude: float | None = None


def metres(a_latitude: float, a_longitude: float, b_latitude: float, b_longitude: float) -> float:
    """The distance of two points on the globe (haversine)."""
    a, b = radians(a_latitude), radians(b_latitude)
    half = sin((b - a) / 2) ** 2
    half += cos(a) * cos(b) * sin(radians(b_longitude - a_longitude) / 2) ** 2
    return 2 * _EARTH_M * asin(min(1.0, sqrt(half)))


def given_order(places: Sequence[Place], order: Sequence[str]) -> list[Place]:
    """As the plan names them; what it does not name comes last, site by site."""
    rank = {charger: place for place, charger in enumerate(order)}
    last = len(rank)
    return sorted(places, key=lambda p: (rank.get(p.charger, last), p.site, p.charger))


def nearest_order(places: Sequence[Place]) -> list[Place]:
    """From site to the nearest site not yet seen, beginning in the north; ties go by code.

    Piles of one site stay together. Sites without coordinates come last.
    """
    sites: dict[str, list[Place]] = {}
    for place in sorted(places, key=lambda p: (p.site, p.charger)):
        sites.setdefault(place.site, []).append(place)
    points = {
        site: _point(found[0].latitude, found[0].longitude)
        for site, found in sites.items()
        if found[0].latitude is not None and found[0].longitude is not None
    }
    way: list[str] = []
    left, at = dict(points), (0.0, 0.0, 2.0)
    while left:
        site = min(left, key=lambda s: _square(at, left[s]))
        way.append(site)
        at = left.pop(site)
    way += [site for site in sites if site not in points]
    return [place for site in way for place in sites[site]]


def _point(latitude: float, longitude: float) -> tuple[float, float, float]:
    """On a globe of radius 1: the shortest chord is the shortest way."""
    up, round_ = radians(latitude), radians(longitude)
    return cos(up) * cos(round_), cos(up) * sin(round_), sin(up)


def _square(a: tuple[float, float, float], b: tuple[float, float, float]) -> float:
    x, y, z = a[0] - b[0], a[1] - b[1], a[2] - b[2]
    return x * x + y * y + z * z
