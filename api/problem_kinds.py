"""Every kind of problem that the API tells, with the word of its `type`; docs/problems.md is made
from it: `python -m api.problem_kinds`. A word never changes its meaning, and none is taken away."""

from dataclasses import dataclass

_URN = "urn:pilewatch:problem:"


@dataclass(frozen=True)
class Kind:
    """`word` is the end of its `type`; `usual`: what this status is called without another word."""

    word: str
    status: int
    title: str
    means: str
    right: str
    usual: bool = True

    @property
    def type(self) -> str:
        """The problem document's `type`."""
        return f"{_URN}{self.word}"


KINDS = (
    Kind(
        "bad-request", 400, "Bad Request", "the body cannot be read", "valid JSON, or a valid form"
    ),
    Kind(
        "unauthorized",
        401,
        "Unauthorized",
        "nobody is known by this key, or one is needed",
        "`Authorization: Bearer pw_…`, or log in",
    ),
    Kind(
        "forbidden",
        403,
        "Forbidden",
        "this role may not do this, or not here; or the session's token is missing",
        "ask somebody who may; forms of a session carry `X-CSRF-Token`",
    ),
    Kind("not-found", 404, "Not Found", "there is no such thing for you", "look it up in its list"),
    Kind(
        "method-not-allowed",
        405,
        "Method Not Allowed",
        "this address has no such method",
        "see `Allow`",
    ),
    Kind("conflict", 409, "Conflict", "something is there already", "see `detail`"),
    Kind(
        "refused",
        409,
        "Conflict",
        "not possible in the ticket's present state",
        "one of `allowed`",
        usual=False,
    ),
    Kind(
        "precondition-failed",
        412,
        "Precondition Failed",
        "`If-Match` is not the present ETag",
        "get it again, look at it, repeat with its ETag",
    ),
    Kind(
        "changed-meanwhile",
        412,
        "Precondition Failed",
        "the ticket has another version by now",
        "get it again, look at it, repeat with its ETag",
        usual=False,
    ),
    Kind(
        "request-entity-too-large",
        413,
        "Content Too Large",
        "the body is longer than any order needs",
        "a shorter one",
    ),
    Kind(
        "unprocessable-entity",
        422,
        "Unprocessable Content",
        "the request can be read, and does not fit together",
        "see `detail`",
    ),
    Kind(
        "invalid",
        422,
        "Unprocessable Content",
        "parameters or members of the body are wrong",
        "each of `errors` has `pointer` and `detail`",
        usual=False,
    ),
    Kind(
        "too-many-requests",
        429,
        "Too Many Requests",
        "too much from this address or key, or about this pile",
        "wait as long as `Retry-After` says; see `RateLimit`",
    ),
    Kind(
        "internal-server-error",
        500,
        "Internal Server Error",
        "something broke on our side, and has been logged",
        "tell us; a POST may be repeated with its `Idempotency-Key`",
    ),
    Kind(
        "service-unavailable",
        503,
        "Service Unavailable",
        "too much is asked at once, or the schema is not migrated",
        "again after `Retry-After`",
    ),
    Kind(
        "away",
        503,
        "Service Unavailable",
        "the database cannot be reached",
        "again after `Retry-After`",
        usual=False,
    ),
)
BY_WORD = {kind.word: kind for kind in KINDS}
_BY_STATUS = {kind.status: kind for kind in KINDS if kind.usual}


def kind_of(status: int, word: str | None) -> Kind | None:
    """The kind of this word, or the usual one of this status; None for a status without one."""
    return _BY_STATUS.get(status) if word is None else BY_WORD[word]


def page() -> str:
    """The documentation."""
    rows = "".join(
        f"| `{kind.type}` | {kind.status} | {kind.means} | {kind.right} |\n" for kind in KINDS
    )
    return f"""\
# Problems

Every error of the API is a problem document (RFC 9457, `application/problem+json`): `type` says
which kind it is, `title` is the status in words, `detail` is for people, and other members are for
programs. Decide by `type`. It is a name, not an address; a name keeps its meaning for ever, and
where a status has none of these, `type` is `about:blank`.

This page is made by `python -m api.problem_kinds`.

| type | status | what it means | what would be right |
| --- | --- | --- | --- |
{rows}
OCPI and Open311 have words of their own for errors, see [open data](open-data.md).
"""


if __name__ == "__main__":
    print(page(), end="")
