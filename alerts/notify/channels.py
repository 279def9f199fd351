"""Ways out. Each sends one message or raises `NotSent`, whose text holds no secret."""

import hashlib
import hmac
import json
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

import apprise
import httpx
import structlog

from alerts.notify import alertmanager
from alerts.notify.letters import Letter
from alerts.notify.news import News
from alerts.notify.receivers import Address, Receiver
from alerts.notify.sending import NotSent
from alerts.notify.words import Message, Words
from pilewatch.clock import Clock
from pilewatch.reach import Unreachable, reach

_LOG = structlog.get_logger()
_WAIT_S = 10.0
_TO = "{to}"


class Channel(Protocol):
    """One address that can be sent to."""

    def send(self, receiver: Receiver, key: str, news: Sequence[News]) -> None:
        """Send these news as one message. Raises `NotSent`."""

    def write(self, letter: Letter, key: str) -> None:
        """Send a letter to the person that it names. Raises `NotSent`."""

    def test(self, receiver: Receiver) -> None:
        """Send a message that says that it is a test. Raises `NotSent`."""


class Post:
    """JSON over HTTP. One client for all addresses; `private` ones may be in our own network."""

    def __init__(self, clock: Clock, *, private: bool = True):
        self._clock = clock
        self._private = private
        self._client = httpx.Client(timeout=_WAIT_S)

    def __call__(self, address: Address, key: str, document: dict[str, Any]) -> None:
        """Signed where the address has a secret. Raises `NotSent`."""
        body = json.dumps(document, ensure_ascii=False)
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        if address.secret is not None:
            moment = str(int(self._clock().timestamp()))
            sign = hmac.new(address.secret.encode(), f"{moment}.{body}".encode(), hashlib.sha256)
            headers["X-Pilewatch-Signature"] = f"t={moment},v1={sign.hexdigest()}"
        answer = self._send("POST", address.url, body.encode(), headers)
        if not answer.is_success:
            asked = _seconds(answer.headers.get("retry-after"), self._clock())
            raise NotSent(f"answered {answer.status_code}", asked)

    def request(
        self, method: str, url: str, document: dict[str, Any], headers: dict[str, str]
    ) -> httpx.Response:
        """The answer, whatever it is. Raises `NotSent` where there is none."""
        content = json.dumps(document, ensure_ascii=False).encode()
        return self._send(method, url, content, {"Content-Type": "application/json", **headers})

    def _send(
        self, method: str, url: str, content: bytes, headers: dict[str, str]
    ) -> httpx.Response:
        try:
            there = reach(url, private=self._private)
            return self._client.request(
                method,
                there.url,
                content=content,
                headers={**headers, **there.headers},
                extensions=there.extensions,
            )
        except Unreachable as error:
            raise NotSent(str(error)) from error
        except httpx.HTTPError as error:
            raise NotSent(type(error).__name__) from error


def _seconds(retry_after: str | None, now: datetime) -> float | None:
    """A Retry-After header: a number of seconds, or a moment."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        moment = datetime.strptime(retry_after.strip(), "%a, %d %b %Y %H:%M:%S %Z")  # noqa: DTZ007
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=now.tzinfo) - now).total_seconds())


class Webhook:
    """Each news as JSON: `X-Pilewatch-Signature: t=UNIX,v1=HMAC-SHA256(secret, "t.body")`."""

    def __init__(self, address: Address, post: Post):
        self._address = address
        self._post = post

    def send(self, receiver: Receiver, key: str, news: Sequence[News]) -> None:
        """One POST; several news of one key do not occur for programs."""
        for one in news:
            document = {"key": key, "topic": one.topic, "data": one.payload}
            self._post(self._address, key, document)

    def write(self, letter: Letter, key: str) -> None:
        """Topic `letter`, for a gateway that writes to people."""
        self._post(self._address, key, {"key": key, "topic": "letter", **vars(letter)})

    def test(self, receiver: Receiver) -> None:
        """Topic `test`."""
        self._post(self._address, "test", {"key": "test", "topic": "test", "data": {}})


class Alertmanager:
    """Incidents in the webhook format of Alertmanager, version 4."""

    def __init__(self, address: Address, post: Post, public_url: str):
        self._address = address
        self._post = post
        self._public_url = public_url

    def send(self, receiver: Receiver, key: str, news: Sequence[News]) -> None:
        """One group: the news of one key."""
        document = alertmanager.document(news, receiver.name, self._public_url)
        self._post(self._address, key, document)

    def write(self, letter: Letter, key: str) -> None:
        """It cannot."""
        raise NotSent("an alertmanager writes to no residents")

    def test(self, receiver: Receiver) -> None:
        """A group without alerts."""
        self._post(
            self._address, "test", alertmanager.document([], receiver.name, self._public_url)
        )


class Apprise:
    """Mail, chat robots and text messages through the apprise library."""

    def __init__(self, address: Address, public_url: str):
        self._address = address
        self._public_url = public_url

    def send(self, receiver: Receiver, key: str, news: Sequence[News]) -> None:
        """All news in one message. The text ends with the key, for a reader of two copies."""
        message = Words(receiver.language, self._public_url).message(news)
        self._notify(self._address.url, Message(message.title, f"{message.body}\n({key})"))

    def write(self, letter: Letter, key: str) -> None:
        """To the person, who stands in the address at `{to}`."""
        if _TO not in self._address.url:
            raise NotSent(f"the channel's address has no {_TO}")
        url = self._address.url.replace(_TO, quote(letter.to, safe="@+"))
        try:
            self._notify(url, Message(letter.title, letter.body))
        except NotSent as error:
            # Servers name in their answer whom they refuse.
            raise NotSent(str(error).replace(letter.to, "…")) from None

    def test(self, receiver: Receiver) -> None:
        """A line that says so."""
        if _TO in self._address.url:
            raise NotSent("a way to residents is tested by a report of one's own")
        words = Words(receiver.language, self._public_url)
        self._notify(self._address.url, Message(words("test.title"), words("test.body")))

    def _notify(self, url: str, message: Message) -> None:
        sender = apprise.Apprise()
        if not sender.add(url):
            raise NotSent("the channel's address is not one that apprise knows")
        # apprise tells its reason only to its log, whose warnings hold no address.
        capture: Any = apprise.LogCapture
        with capture(level=logging.WARNING, fmt="%(message)s") as log:
            arrived = sender.notify(title=message.title, body=message.body)
            said = log.getvalue().strip()
        if not arrived:
            first = said.splitlines()[0] if said else "refused"
            raise NotSent(first.replace(url, "…")[:300])


class Log:
    """Where no receiver is set up, each notification is a line of the log."""

    def send(self, receiver: Receiver, key: str, news: Sequence[News]) -> None:
        """A line."""
        for one in news:
            said = {k: v for k, v in one.payload.items() if v}
            _LOG.info("notification", key=key, topic=one.topic, **said)

    def write(self, letter: Letter, key: str) -> None:
        """A line, which does not tell to whom."""
        _LOG.info("letter", key=key, title=letter.title)

    def test(self, receiver: Receiver) -> None:
        """A line."""
        _LOG.info("notification", topic="test")


def open_channels(
    addresses: dict[str, Address], public_url: str, clock: Clock
) -> dict[str, Channel]:
    """The channel of every address, by its name."""
    post = Post(clock)

    def opened(address: Address) -> Channel:
        match address.kind:
            case "webhook":
                return Webhook(address, post)
            case "alertmanager":
                return Alertmanager(address, post, public_url)
            case "apprise":
                return Apprise(address, public_url)
            case "log":
                return Log()

    return {name: opened(address) for name, address in addresses.items()}
