"""The report form and the receipt: photos, contact, doubt, and the second question."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from pilewatch.policy import Policy
from pilewatch.sealing import Seal
from pilewatch.workflow.contacts import contact_of
from pilewatch.workflow.desk import Actor, act
from pilewatch.workflow.reports import file_report
from pilewatch.workflow.tickets import Accept, Claim, Close, Verify
from tests.pages.conftest import CONTACT_KEY, World
from tests.pages.test_browser import _PHONE, Visits, _fits, _readable, visits
from tests.workflow.test_photos import picture

__all__ = ["visits"]
SAID = {"port": "2", "fault": "no-output"}


def _stamp(client: TestClient) -> str:
    found = re.search(r'name="shown" value="([^"]+)"', client.get("/report/C1", params=SAID).text)
    assert found is not None
    return found[1]


def _close(world: World, ticket: int, at: datetime) -> None:
    actor = Actor("person", world.community.worker)
    with world.db.transaction():
        for action in (Accept(), Claim("a", "b"), Verify({"kind": "session"}), Close()):
            act(world.db, Policy(), at, ticket, action, actor)


def test_photos_come_with_the_report_and_a_broken_one_does_not_stop_it(world: World) -> None:
    client = world.client()
    files = [
        ("photo", ("a.jpg", picture("JPEG"), "image/jpeg")),
        ("photo", ("b.jpg", b"no picture", "image/jpeg")),
        ("photo", ("c.png", picture("PNG"), "image/png")),
    ]
    sent = client.post("/report/C1", data={**SAID, "shown": _stamp(client)}, files=files)
    assert sent.status_code == 303 and sent.headers["location"].endswith("?photo=broken")
    page = client.get(sent.headers["location"])
    assert "A file was no photo and is not kept. Your report is." in page.text
    sources = re.findall(r'<img src="([^"]+)"', page.text)
    assert len(sources) == 2
    desk = world.client("repairer")
    board = desk.get("/console/tickets/1").text
    seen = re.findall(r'<img src="(/api/v1/reports/[^"]+)"', board)
    assert [desk.get(source).status_code for source in seen] == [200, 200]
    assert [client.get(source).status_code for source in seen] == [401, 401]
    shown = client.get(sources[0])
    assert shown.headers["content-type"] == "image/jpeg"
    assert shown.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert client.get(sources[0].replace("/photos/1", "/photos/9")).status_code == 404
    link = sent.headers["location"].partition("?")[0]
    more = client.post(f"{link}/photos", files=[("photo", ("d.jpg", picture("WEBP"), "x/y"))])
    assert more.headers["location"] == link
    assert 'type="file"' not in client.get(link).text, "three are enough"
    extra = client.post(f"{link}/photos", files=[("photo", ("e.png", picture("PNG", (9, 9)), ""))])
    assert extra.headers["location"].endswith("?photo=many")


def test_a_browser_without_a_chosen_photo_sends_an_empty_part(world: World) -> None:
    client = world.client()
    parts = {**SAID, "shown": _stamp(client)}
    lines = [
        f'--x\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}' for k, v in parts.items()
    ]
    file = '--x\r\nContent-Disposition: form-data; name="photo"; filename=""\r\n'
    lines.append(f"{file}Content-Type: application/octet-stream\r\n\r\n\r\n--x--\r\n")
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    sent = client.post("/report/C1", content="\r\n".join(lines), headers=headers)
    assert sent.status_code == 303 and "?" not in sent.headers["location"]


def test_a_contact_is_sealed_shown_to_nobody_and_forgotten_on_request(world: World) -> None:
    client = world.client()
    wrong = client.post("/report/C1", data={**SAID, "shown": _stamp(client), "note": "x",
                                            "contact": "12"})  # fmt: skip
    assert wrong.status_code == 422 and "no phone number" in wrong.text
    assert 'value="12"' in wrong.text and ">x</textarea>" in wrong.text
    link = world.report(client, contact="138 1234 5678")
    kept = contact_of(world.db, Seal([CONTACT_KEY]), 1)
    assert kept is not None and (kept.to, kept.receipt) == ("13812345678", link[3:])
    page = client.get(link).text
    assert "You have left a contact" in page and "138" not in page
    assert client.post(f"{link}/forget").status_code == 303
    assert contact_of(world.db, Seal([CONTACT_KEY]), 1) is None
    assert "You have left a contact" not in client.get(link).text


def test_a_robots_form_is_kept_for_a_review_and_gets_a_receipt(world: World) -> None:
    client = world.client()
    for said, doubt in (
        ({"homepage": "https://buy.example"}, ["trap"]),
        ({"shown": ""}, ["unsigned"]),
        ({"shown": "1700000000000.00"}, ["unsigned"]),
    ):
        sent = client.post("/report/C1", data={**SAID, "shown": _stamp(client), **said})
        assert sent.status_code == 303
        kept = world.row("SELECT doubt, ticket_id FROM report ORDER BY id DESC LIMIT 1")
        assert kept == {"doubt": doubt, "ticket_id": None}
        page = client.get(sent.headers["location"]).text
        assert "somebody will look at it first" in page and "Report received" in page


def test_the_form_says_how_many_have_reported_it(world: World) -> None:
    client = world.client()
    world.report(client)
    link = world.report(client)
    assert "Reports so far: 2" in client.get("/report/C1?port=2").text
    assert "Other reports of the same fault: 1" in client.get(link).text


def test_the_second_question_is_asked_after_four_weeks_and_no_reopens(world: World) -> None:
    now = datetime.now(UTC)
    client = world.client()
    links = []
    for port, weeks in ((0, 1), (1, 5)):
        with world.db.transaction():
            filed = file_report(
                world.db, Policy(), now - timedelta(weeks=weeks), source="page", note=None,
                site_id=world.community.site, charger_id=world.community.chargers[0],
                connector_id=world.community.connectors[port], code="no-output",
            )  # fmt: skip
        assert filed.ticket_id is not None
        _close(world, filed.ticket_id, now - timedelta(weeks=weeks))
        links.append((f"/r/{filed.receipt_token}", filed.ticket_id))
    (young, _), (old, ticket) = links
    assert "Does it charge now?" in client.get(young).text
    client.post(f"{young}/answer", data={"charges": "yes"})
    assert "We will ask you once more on" in client.get(young).text
    assert "Some weeks later: does it still charge?" in client.get(old).text
    client.post(f"{old}/answer", data={"charges": "no"})
    assert world.community.state(ticket) == "reopened"
    assert "does it still charge" not in client.get(old).text


def test_a_receipt_that_was_read_out_is_found_by_its_digits(world: World) -> None:
    client = world.client()
    with world.db.transaction():
        file_report(
            world.db, Policy(), datetime.now(UTC), source="phone", site_id=world.community.site,
            charger_id=None, connector_id=None, code="no-output", note=None,
            token="4821093755160027",
        )  # fmt: skip
    found = client.get("/r", params={"number": "4821 0937 5516 0027"})
    assert found.headers["location"] == "/r/4821093755160027"
    assert "There is no such receipt" in client.get("/r?number=1").text
    assert "There is no such receipt" not in client.get("/r").text
    assert 'href="/r"' in client.get("/").text


@pytest.mark.browser
@pytest.mark.parametrize("language", ["zh-CN", "en-GB"])
def test_a_resident_sends_a_photo_and_reads_the_receipt_without_scripts(
    visits: Visits, world: World, language: str
) -> None:
    page = visits.open(
        "/report/C1?port=2&fault=no-output", _PHONE, java_script_enabled=False, locale=language
    )
    _fits(page)
    _readable(page)
    assert page.locator("p.hidden[aria-hidden=true] #homepage[tabindex='-1']").count() == 1
    page.set_input_files(
        "#photo", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": picture("JPEG", (900, 600))}
    )
    page.fill("#contact", "13812345678")
    page.click("button.primary")
    page.wait_for_url("**/r/*")
    _fits(page)
    _readable(page)
    assert page.locator(".photos img").count() == 1
    assert page.locator(".photos img").evaluate("e => e.naturalWidth") == 900
