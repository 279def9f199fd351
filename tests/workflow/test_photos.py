"""Photos of residents: what is kept is a picture, and nothing else."""

import struct
import threading
import zlib
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pilewatch.store.pool import connect
from pilewatch.workflow.photos import MOST_BYTES, BadPhoto, clean_photo, keep_photo, photo_of
from pilewatch.workflow.reports import file_report
from tests.workflow.conftest import NOW, Community


def picture(kind: str = "JPEG", size: tuple[int, int] = (60, 40), mode: str = "RGB",
            **more: Any) -> bytes:  # fmt: skip
    """A picture with a red left half."""
    made = Image.new(mode, size, 0)
    made.paste(Image.new(mode, (size[0] // 2, size[1]), "red" if mode != "L" else 200), (0, 0))
    out = BytesIO()
    made.save(out, kind, **more)
    return out.getvalue()


def _opened(jpeg: bytes) -> Image.Image:
    assert jpeg[:2] == b"\xff\xd8"
    return Image.open(BytesIO(jpeg), formats=("JPEG",))


def _png_of(width: int, height: int) -> bytes:
    """A PNG that says it is as large, in a few bytes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(name + body)
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 100_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "L"),
     ("PNG", "1"), ("WEBP", "RGB"), ("WEBP", "RGBA")],
)  # fmt: skip
def test_every_kind_of_picture_becomes_a_plain_jpeg(kind: str, mode: str) -> None:
    sent = BytesIO()
    Image.new("RGB", (60, 40), "red").convert(mode).save(sent, kind)
    photo = clean_photo(sent.getvalue())
    seen = _opened(photo.jpeg)
    assert (seen.mode, seen.size, (photo.width, photo.height)) == ("RGB", (60, 40), (60, 40))


def test_place_time_maker_and_comments_are_gone_and_the_picture_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    exif[0x010F] = "SECRETMAKER"
    exif.get_ifd(0x8825)[2] = (32.0, 7.0, 48.0)
    sent = picture("JPEG", (60, 40), exif=exif, comment=b"SECRETCOMMENT", dpi=(99, 99),
                   xmp=b"<x>SECRETXMP</x>", icc_profile=b"SECRETPROFILE" * 20)  # fmt: skip
    assert b"SECRETMAKER" in sent and b"SECRETXMP" in sent
    photo = clean_photo(sent)
    assert b"SECRET" not in photo.jpeg and b"Exif" not in photo.jpeg
    seen = _opened(photo.jpeg)
    assert seen.size == (40, 60) and not seen.getexif()
    red, black = seen.getpixel((20, 5)), seen.getpixel((20, 55))
    assert isinstance(red, tuple) and isinstance(black, tuple) and red[0] > 150 > 100 > black[0]
    text = PngInfo()
    text.add_text("Author", "SECRETNAME")
    assert b"SECRETNAME" not in clean_photo(picture("PNG", pnginfo=text)).jpeg


def test_a_large_picture_is_made_smaller_and_a_hole_is_white() -> None:
    photo = clean_photo(picture("JPEG", (4000, 3000)))
    assert (photo.width, photo.height) == (1600, 1200)
    assert clean_photo(picture("PNG", (10, 3000))).height == 1600
    hole = BytesIO()
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(hole, "PNG")
    assert _opened(clean_photo(hole.getvalue()).jpeg).getpixel((4, 4)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("sent", "word"),
    [
        (b"", "broken"),
        (b"\xff\xd8\xff\xe0", "broken"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "broken"),
        (b"%PDF-1.7 GIF89a", "broken"),
        (picture("GIF"), "broken"),
        (picture("BMP"), "broken"),
        (picture("TIFF"), "broken"),
        (picture()[:-300], "broken"),
        (_png_of(60_000, 60_000), "large"),
        (_png_of(9_000, 9_000), "large"),
        (_png_of(7_000, 7_000), "broken"),
        (_png_of(0, 5), "broken"),
        (picture() + b"\0" * MOST_BYTES, "large"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} bytes",
)
def test_what_is_no_photo_is_refused(sent: bytes, word: str) -> None:
    with pytest.raises(BadPhoto) as caught:
        clean_photo(sent)
    assert caught.value.word == word


_SEEDS = [picture("JPEG"), picture("PNG", mode="RGBA"), picture("WEBP"), picture("PNG", mode="P")]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(_SEEDS), st.data())
def test_damaged_bytes_are_refused_or_become_a_picture(seed: bytes, data: st.DataObject) -> None:
    sent = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(sent) - 1))
        sent[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=6))
        if not sent:
            break
    try:
        photo = clean_photo(bytes(sent))
    except BadPhoto:
        return
    assert _opened(photo.jpeg).size == (photo.width, photo.height)
    assert max(photo.width, photo.height) <= 1600


def test_a_report_has_three_photos_and_a_repeat_is_no_double(
    community: Community, plain_database_url: str
) -> None:
    c = community
    place = {"site_id": c.site, "charger_id": c.chargers[0], "connector_id": None}
    with c.db.transaction():
        filed = file_report(c.db, c.policy, NOW, source="page", code="no-output", note=None,
                            **place)  # type: ignore[arg-type] # fmt: skip
    sent = [picture("PNG", (20 + number, 20)) for number in range(4)]
    numbers: list[int] = []
    start = threading.Barrier(6)

    def send(at: int) -> None:
        photo = clean_photo(sent[at])
        with connect(plain_database_url, application="race") as db:
            start.wait()
            with db.transaction():
                numbers.append(keep_photo(db, NOW, filed.report_id, sent[at], photo))

    threads = [threading.Thread(target=send, args=(at,)) for at in (0, 1, 0, 2, 1, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(numbers) == 6 and set(numbers) == {1, 2, 3}
    with pytest.raises(BadPhoto, match="3 photos"):
        keep_photo(c.db, NOW, filed.report_id, sent[3], clean_photo(sent[3]))
    kept = {photo_of(c.db, filed.report_id, number) for number in (1, 2, 3)}
    assert kept == {clean_photo(one).jpeg for one in sent[:3]}
    assert photo_of(c.db, filed.report_id, 4) is None
