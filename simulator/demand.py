"""Who comes when, and what they want; and the weather they come in. Pure, drawn from the seed."""

import math
import random
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from simulator.scenario import Use, Weather

_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Visit:
    """One person with one battery. Powers in W, energies in Wh, times in seconds."""

    number: int
    power_w: float
    energy_wh: float
    authorise_s: float
    stay_s: float
    soc: float
    by_card: bool
    test: str | None = None
    """The id of the command that ordered it, where it is a test charge."""


class Calendar:
    """Local time of the community: simulated seconds to hour of day."""

    def __init__(self, start: datetime, zone: str):
        local = start.astimezone(ZoneInfo(zone))
        self._second = local.hour * 3600 + local.minute * 60 + local.second
        self._day_of_year = local.timetuple().tm_yday

    def hour(self, t: float) -> float:
        """0 to 24."""
        return ((self._second + t) % _DAY) / 3600

    def day(self, t: float) -> int:
        """Days since the start's midnight."""
        return int((self._second + t) // _DAY)

    def day_of_year(self, t: float) -> float:
        """1 to 366, going on beyond."""
        return self._day_of_year + (self._second + t) / _DAY


class Sky:
    """Temperature and rain of each hour, drawn by day so that every charger sees the same."""

    def __init__(self, weather: Weather, calendar: Calendar, seed: int):
        self._weather = weather
        self._calendar = calendar
        self._seed = seed
        self._days: dict[int, tuple[float, bool, float]] = {}

    def _draw(self, day: int) -> tuple[float, bool, float]:
        found = self._days.get(day)
        if found is None:
            rng = random.Random(f"{self._seed}/weather/{day}")
            rains = rng.random() < self._weather.rain
            found = self._days[day] = (rng.gauss(0, 2.5), rains, rng.uniform(0, 18))
        return found

    def celsius(self, t: float) -> float:
        """Air temperature in the shade."""
        weather, calendar = self._weather, self._calendar
        season = -math.cos(2 * math.pi * (calendar.day_of_year(t) - 20) / 365.25)
        daily = -math.cos(2 * math.pi * (calendar.hour(t) - 3) / 24)
        # A day's own warmth goes over into the next one's: air does not jump at midnight.
        day, gone = calendar.day(t), calendar.hour(t) / 24
        spell = (1 - gone) * self._draw(day)[0] + gone * self._draw(day + 1)[0]
        return weather.mean_c + weather.season_c * season + weather.daily_c * daily + spell

    def rains(self, t: float) -> bool:
        """Whether it rains now; a rainy day has six wet hours."""
        _, rains, first = self._draw(self._calendar.day(t))
        return rains and 0 <= self._calendar.hour(t) - first < 6


def next_visit(
    use: Use, calendar: Calendar, after: float, number: int, stream: str
) -> tuple[float, Visit] | None:
    """When visit `number` to a connector comes, and who; None where nobody ever does.

    Each visit has a stream of its own: what faults do never changes who comes next.
    """
    if use.per_day <= 0:
        return None
    rng = random.Random(f"{stream}/{number}")
    peak, total = max(use.hours), sum(use.hours)
    rate = use.per_day / _DAY * 24 * peak / total
    t = after
    while True:  # thinning: candidates at the peak's rate, kept by the hour's weight
        t += rng.expovariate(rate)
        share = use.quiet_share if calendar.day(t) in use.quiet_days else 1.0
        if rng.random() * peak <= share * use.hours[int(calendar.hour(t)) % 24]:
            return t, draw_visit(use, rng, number)


def draw_visit(use: Use, rng: random.Random, number: int) -> Visit:
    """One person as this kind of charger meets them."""
    return Visit(
        number=number,
        power_w=rng.uniform(*use.power_w),
        energy_wh=rng.uniform(*use.energy_wh),
        authorise_s=rng.uniform(2, 9),
        stay_s=rng.uniform(*use.stay),
        soc=rng.uniform(8, 60),
        by_card=rng.random() < 0.35,
    )
