"""Two languages: catalogues, and numbers, times and ages as people say them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_skeleton, format_timedelta, get_datetime_format
from babel.numbers import format_decimal
from starlette.requests import Request

from pilewatch.catalogues import read_catalogue

LOCALES = {"zh": "zh_CN", "en": "en"}
"""Language word of URLs and cookies -> locale; the first is the default."""
LANGUAGE_COOKIE = "lang"


@lru_cache(maxsize=len(LOCALES))
def catalogue(language: str) -> Mapping[str, str]:
    """Every message of this language by its key."""
    return read_catalogue("api.pages", LOCALES[language])


def script_words(request: Request, keys: Iterable[str]) -> dict[str, str]:
    """Words for a page's own script, in the language of who asks."""
    known = catalogue(language_of(request))
    return {key: known[key] for key in keys}


@lru_cache(maxsize=len(LOCALES))
def _locale(language: str) -> Locale:
    """Read once: a page asks for it hundreds of times."""
    return Locale.parse(LOCALES[language])


def language_of(request: Request) -> str:
    """`?lang=`, else the cookie, else what the browser prefers, else Chinese."""
    for asked in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
        if asked in LOCALES:
            return asked
    wished: list[tuple[float, int, str]] = []
    for part in request.headers.get("accept-language", "")[:200].split(","):
        tag, _, quality = part.strip().partition(";q=")
        try:
            wished.append((-float(quality or 1), len(wished), tag.lower()[:2]))
        except ValueError:
            continue
    for minus, _, tag in sorted(wished):
        if tag in LOCALES and minus < 0:
            return tag
    return next(iter(LOCALES))


@dataclass(frozen=True)
class Speech:
    """One page's way to speak: a language, a timezone, and the moment ages are counted to."""

    language: str
    zone: ZoneInfo
    now: datetime

    @property
    def tag(self) -> str:
        """For the `lang` attribute."""
        return LOCALES[self.language].replace("_", "-")

    @property
    def _locale(self) -> Locale:
        return _locale(self.language)

    def __call__(self, key: str, **values: object) -> str:
        """The message of this key. An unknown key (data of a newer program) shows its own word."""
        text = catalogue(self.language).get(key)
        if text is None:
            return key.partition(".")[2] or key
        return text.format(**values) if values else text

    def ago(self, moment: datetime) -> str:
        """How long ago, in the biggest unit that fits."""
        age = max(self.now - moment, timedelta())
        if age < timedelta(minutes=1):
            return self("time.just-now")
        return format_timedelta(-age, threshold=1, add_direction=True, locale=self._locale)

    def span(self, seconds: float) -> str:
        """A length of time; at least a minute."""
        length = timedelta(seconds=max(abs(seconds), 60))
        return format_timedelta(length, threshold=1.5, locale=self._locale)

    def left(self, deadline: datetime) -> str:
        """How long until a deadline, or by how much it is missed."""
        seconds = (deadline - self.now).total_seconds()
        return self("time.left" if seconds >= 0 else "time.over", span=self.span(seconds))

    def when(self, moment: datetime) -> str:
        """Day and time of day at the place."""
        day, time = (
            format_skeleton(parts, moment, tzinfo=self.zone, locale=self._locale)
            for parts in ("MMMd", "Hm")
        )
        return str(get_datetime_format("medium", self._locale)).format(time, day)

    def local(self, moment: datetime) -> str:
        """For a form's field of day and time."""
        return moment.astimezone(self.zone).strftime("%Y-%m-%dT%H:%M")

    def day(self, moment: datetime) -> str:
        """The day at the place."""
        return format_skeleton("MMMd", moment, tzinfo=self.zone, locale=self._locale)

    def date(self, moment: datetime) -> str:
        """The day with its year."""
        return format_skeleton("yMMMd", moment, tzinfo=self.zone, locale=self._locale)

    def told(self, moment: str | None) -> str:
        """Day and time of what the timeline tells as text; a dash where there was none."""
        return "–" if moment is None else self.when(datetime.fromisoformat(moment))

    def clock(self, moment: datetime) -> str:
        """Time of day with seconds at the place."""
        return format_skeleton("Hms", moment, tzinfo=self.zone, locale=self._locale)

    def number(self, value: float, digits: int = 0) -> str:
        """A number, rounded."""
        return format_decimal(round(value, digits), locale=self._locale)
