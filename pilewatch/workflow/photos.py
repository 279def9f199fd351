"""Photos of residents: looked at, made anew as a plain JPEG, and kept in the database."""

import hashlib
import threading
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO

from PIL import Image, ImageOps

from pilewatch.store import queries
from pilewatch.store.pool import Db

_SQL = queries.load("reports")
MOST_BYTES = 10 * 1024 * 1024
MOST_PHOTOS = 3
"""Of one report."""
_MOST_PIXELS = 50_000_000
_LONGEST_SIDE = 1600
_QUALITY = 80
_AT_WORK = threading.BoundedSemaphore(2)
"""A decoded picture takes up to 200 MB: no more of them at once."""


class BadPhoto(ValueError):
    """It cannot be used; `word` says why, `str()` what would be right."""

    def __init__(self, word: str, text: str):
        super().__init__(text)
        self.word = word


@dataclass(frozen=True)
class Photo:
    """A picture without anything beside it: no place, no time, no maker."""

    jpeg: bytes
    width: int
    height: int


def clean_photo(sent: bytes) -> Photo:
    """What was sent as a JPEG of at most 1600 pixels a side, upright. Raises `BadPhoto`."""
    if len(sent) > MOST_BYTES:
        raise BadPhoto("large", f"a photo has {MOST_BYTES // 2**20} MB at most")
    with _AT_WORK:
        try:
            return _made_anew(sent)
        except BadPhoto:
            raise
        except Image.DecompressionBombError as error:
            raise _too_many_pixels() from error
        # Damaged and hostile files make the decoders raise whatever they like.
        except Exception as error:
            raise BadPhoto("broken", "no photo; right would be JPEG, PNG or WebP") from error


def _too_many_pixels() -> BadPhoto:
    return BadPhoto("large", f"a photo has {_MOST_PIXELS // 10**6} million pixels at most")


def _made_anew(sent: bytes) -> Photo:
    with Image.open(BytesIO(sent), formats=("JPEG", "PNG", "WEBP")) as opened:
        if opened.width * opened.height > _MOST_PIXELS:
            raise _too_many_pixels()
        opened.draft("RGB", (_LONGEST_SIDE, _LONGEST_SIDE))
        opened.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
        upright = ImageOps.exif_transpose(opened)
    plain = Image.new("RGB", upright.size, "white")
    if upright.has_transparency_data:
        seen = upright.convert("RGBA")
        plain.paste(seen, mask=seen.getchannel("A"))
    else:
        plain.paste(upright.convert("RGB"))
    made = BytesIO()
    plain.save(made, "JPEG", quality=_QUALITY, optimize=True)
    return Photo(made.getvalue(), plain.width, plain.height)


def keep_photo(db: Db, now: datetime, report_id: int, sent: bytes, photo: Photo) -> int:
    """Keep a cleaned photo of this report, inside the caller's transaction; gives its number, for
    a repeat the first one's.

    Raises `BadPhoto` where the report has as many as it may.
    """
    values = {"report_id": report_id, "sent": hashlib.sha256(sent).digest(), "now": now}
    # Locked by a statement of its own, so that the next one sees what a twin has written.
    db.execute(_SQL["lock_report"], {"id": report_id})
    row = db.execute(_SQL["room_for_photo"], values).fetchone()
    assert row is not None
    if row["same"] is not None:
        return int(row["same"])
    if row["photos"] >= MOST_PHOTOS:
        raise BadPhoto("many", f"a report has {MOST_PHOTOS} photos at most")
    more = {"number": row["number"], "jpeg": photo.jpeg}
    size = {"width": photo.width, "height": photo.height}
    db.execute(_SQL["add_photo"], {**values, **more, **size})
    return int(row["number"])


def photo_of(db: Db, report_id: int, number: int) -> bytes | None:
    """The JPEG; None where there is no such photo."""
    row = db.execute(_SQL["photo"], {"report_id": report_id, "number": number}).fetchone()
    return None if row is None else bytes(row["jpeg"])
