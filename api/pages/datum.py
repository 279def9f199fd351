"""GCJ-02, the shifted coordinates that maps of Chinese providers are drawn in. Pure.

The registry is WGS 84. The shift is not published by the authority; this is the formula that
everybody's programs use, good to about a metre, on the ellipsoid of Krassowsky 1940.
"""

from math import cos, pi, sin, sqrt

_AXIS = 6_378_245.0
_FLATNESS = 0.00669342162296594323
"""Square of the first eccentricity."""
_WEST, _EAST, _SOUTH, _NORTH = 72.004, 137.8347, 0.8293, 55.8271
"""Outside of this box nothing is shifted, as in the providers' own programs."""


def to_gcj02(latitude: float, longitude: float) -> tuple[float, float]:
    """WGS 84 -> GCJ-02, both as latitude and longitude in degrees."""
    if not (_SOUTH <= latitude <= _NORTH and _WEST <= longitude <= _EAST):
        return latitude, longitude
    x, y = longitude - 105.0, latitude - 35.0
    both = (20 * sin(6 * x * pi) + 20 * sin(2 * x * pi)) * 2 / 3
    north = -100 + 2 * x + 3 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * sqrt(abs(x)) + both
    north += (20 * sin(y * pi) + 40 * sin(y / 3 * pi)) * 2 / 3
    north += (160 * sin(y / 12 * pi) + 320 * sin(y * pi / 30)) * 2 / 3
    east = 300 + x + 2 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * sqrt(abs(x)) + both
    east += (20 * sin(x * pi) + 40 * sin(x / 3 * pi)) * 2 / 3
    east += (150 * sin(x / 12 * pi) + 300 * sin(x / 30 * pi)) * 2 / 3
    angle = latitude / 180 * pi
    magic = 1 - _FLATNESS * sin(angle) ** 2
    meridian = _AXIS * (1 - _FLATNESS) / (magic * sqrt(magic)) * pi / 180
    parallel = _AXIS / sqrt(magic) * cos(angle) * pi / 180
    return latitude + north / meridian, longitude + east / parallel
