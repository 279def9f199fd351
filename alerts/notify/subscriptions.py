"""Receivers that live in the database: webhooks made by the API, and parties of OCPI."""

import base64
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from msgspec.structs import replace

from alerts.notify.channels import Channel, Post, Webhook
from alerts.notify.letters import Letter
from alerts.notify.news import News
from alerts.notify.receivers import Address, Directory, Receiver
from alerts.notify.sending import NotSent
from pilewatch.sealing import Lost, Seal
from pilewatch.settings import Ocpi
from pilewatch.store import queries
from pilewatch.store.places import Place, read_places
from pilewatch.store.pool import Db
from pilewatch.workflow import ocpi

_SQL = queries.load("webhooks")


def with_subscriptions(
    db: Db,
    directory: Directory,
    channels: Mapping[str, Channel],
    post: Post,
    party: Ocpi,
    seal: Seal,
) -> tuple[Directory, dict[str, Channel]]:
    """The file's receivers and the database's together, as they are now. Where a secret cannot be
    read, each sending fails with that reason, until the key is there again."""
    receivers, addresses = list(directory.receivers), dict(directory.addresses)
    opened = dict(channels)
    for row in db.execute(_SQL["subscribed_webhooks"]):
        name = f"hook-{row['id']}"
        companies = [row["company"]] if row["company"] is not None else []
        receivers.append(
            Receiver(name, name, topics=row["topics"], sites=row["sites"], companies=companies)
        )
        addresses[name], closed = _address(seal, row["url"], row["secret"])
        opened[name] = closed or Webhook(addresses[name], post)
    for row in db.execute(_SQL["subscribed_parties"]):
        name = f"ocpi-{row['id']}"
        receivers.append(Receiver(name, name, topics=[]))
        addresses[name], closed = _address(seal, row["push_url"], row["push_token"])
        opened[name] = closed or Locations(addresses[name], post, db, party)
    return replace(directory, receivers=receivers, addresses=addresses), opened


def _address(seal: Seal, url: str, kept: str) -> tuple[Address, "Closed | None"]:
    try:
        return Address("webhook", url, seal.open(kept)), None
    except Lost as error:
        return Address("webhook", url), Closed(f"its secret is {error}")


def paused(db: Db) -> frozenset[str]:
    """Receivers whose messages wait until they are wanted again."""
    return frozenset(f"hook-{row['id']}" for row in db.execute(_SQL["paused_webhooks"]))


@dataclass(frozen=True)
class Closed:
    """A way that is not open; `reason` says why."""

    reason: str

    def send(self, receiver: Receiver, key: str, news: Sequence[News]) -> None:
        """Raises `NotSent`."""
        raise NotSent(self.reason)

    def write(self, letter: Letter, key: str) -> None:
        """Raises `NotSent`."""
        raise NotSent(self.reason)

    def test(self, receiver: Receiver) -> None:
        """Raises `NotSent`."""
        raise NotSent(self.reason)


@dataclass(frozen=True)
class _Object:
    path: str
    body: dict[str, Any]
    whole: bool


class Locations:
    """A party's receiver interface of OCPI 2.2.1 (mod_locations): objects as they are now."""

    def __init__(self, address: Address, post: Post, db: Db, party: Ocpi):
        self._address = address
        self._post = post
        self._db = db
        self._party = party

    def send(self, receiver: Receiver, key: str, news: Sequence[News]) -> None:
        """PATCH of a status, or PUT of what is new there. Raises `NotSent`."""
        latest = news[-1].payload
        found = read_places(self._db, id=latest["site"], located=True).places
        if not found:
            return  # without coordinates it is no location, or it is gone
        whole = any(one.payload["whole"] for one in news)
        steps = list(self._steps(found[0], latest["connector"], whole=whole))
        for place, step in enumerate(steps):
            status = self._deliver(key, step)
            if status != 404 or place == len(steps) - 1:
                _judge(status)
                return

    def write(self, letter: Letter, key: str) -> None:
        """A party of OCPI is nobody's letter box."""
        raise NotSent("a party of OCPI gets no letters")

    def test(self, receiver: Receiver) -> None:
        """Nothing can be sent that is not so."""
        raise NotSent("a party of OCPI has no test")

    def _steps(self, place: Place, connector: int | None, *, whole: bool) -> list[_Object]:
        """The smallest object first; what the other side does not know is sent whole."""
        root = f"{self._party.country_code}/{self._party.party_id}/{place.id}"
        steps = [_Object(root, ocpi.location(place, self._party), whole=True)]
        port = next((port for port in place.ports if port.id == connector), None)
        if port is not None:
            body = ocpi.evse(port, self._party)
            steps.insert(0, _Object(f"{root}/{port.id}", body, whole=True))
            if not whole:
                change = {name: body[name] for name in ("status", "last_updated")}
                steps.insert(0, _Object(f"{root}/{port.id}", change, whole=False))
        return steps

    def _deliver(self, key: str, step: _Object) -> int:
        token = base64.b64encode((self._address.secret or "").encode()).decode()
        headers = {
            "Authorization": f"Token {token}",
            "X-Request-ID": str(uuid.uuid4()),
            "X-Correlation-ID": str(uuid.uuid5(uuid.NAMESPACE_URL, f"pilewatch:{key}")),
            "OCPI-from-country-code": self._party.country_code,
            "OCPI-from-party-id": self._party.party_id,
        }
        url = f"{self._address.url.rstrip('/')}/{step.path}"
        answer = self._post.request("PUT" if step.whole else "PATCH", url, step.body, headers)
        if answer.is_success and not _accepted(answer):
            raise NotSent("answered with an OCPI error")
        return answer.status_code


def _accepted(answer: httpx.Response) -> bool:
    """An envelope may say that it failed although HTTP went well; none at all is taken as well."""
    try:
        said = json.loads(answer.content)
    except ValueError:
        return True
    code = said.get("status_code") if isinstance(said, dict) else None
    return not isinstance(code, int) or 1000 <= code < 2000


def _judge(status: int) -> None:
    if not 200 <= status < 300:
        raise NotSent(f"answered {status}")
