"""Sealed secrets: any key reads, the first one seals, and all of them can be sealed anew."""

import contextlib

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from deploy.command import main
from pilewatch.sealing import Lost, Seal
from pilewatch.store.migrate import migrate
from pilewatch.store.pool import Db, connect
from pilewatch.store.sealed import KINDS, reseal
from tests.parts import database_on
from tests.workflow.conftest import Community

OLD, NEW, GONE = (Fernet.generate_key().decode() for _ in range(3))


@given(st.text(), st.lists(st.sampled_from([OLD, NEW, GONE]), unique=True))
def test_what_is_closed_opens_with_its_key_only_and_is_renewed_by_the_first(
    secret: str, keys: list[str]
) -> None:
    seal, kept = Seal(keys), Seal([OLD]).close(secret)
    assert secret not in kept or len(secret) < 3
    assert OLD not in repr(Seal([OLD]))
    with contextlib.nullcontext() if OLD in keys else pytest.raises(Lost):
        assert seal.open(kept) == secret
        renewed = seal.renew(kept)
        assert Seal(keys[:1]).open(renewed) == secret
        assert seal.renew(renewed) == renewed
        assert (renewed == kept) == (keys[0] == OLD)


def _secrets(db: Db) -> list[str]:
    """All that is kept, of each kind."""
    rows = db.execute(
        "SELECT secret AS kept FROM webhook UNION ALL SELECT push_token FROM ocpi_party "
        "UNION ALL SELECT totp_secret FROM person WHERE totp_secret IS NOT NULL "
        "UNION ALL SELECT convert_from(sealed, 'UTF8') FROM report_contact"
    )
    return [row["kept"] for row in rows]


def _keep(db: Db, kept: list[str]) -> None:
    """One secret of each kind, in the order of `_secrets`."""
    hook, party, factor, contact = kept
    db.execute("UPDATE person SET totp_secret = %s", (factor,))
    db.execute(
        "INSERT INTO webhook (url, secret, topics, created_by, created_at) "
        "VALUES ('https://x.example', %s, '{ticket.*}', 1, now())",
        (hook,),
    )
    db.execute(
        "INSERT INTO ocpi_party (name, hash, push_url, push_token, created_at) "
        "VALUES ('x', 'x', 'https://x.example', %s, now())",
        (party,),
    )
    db.execute(
        "WITH r AS (INSERT INTO report (receipt, source, site_id, code, reported_at) "
        "SELECT 'x', 'page', id, 'no-output', now() FROM site RETURNING id) "
        "INSERT INTO report_contact SELECT id, 'phone', %s, now() FROM r",
        (contact.encode(),),
    )


def test_the_command_seals_what_was_open_or_closed_by_an_older_key(
    plain_db: Db,
    plain_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Community(plain_db)
    monkeypatch.setenv("PILEWATCH_DATABASE__URL", plain_database_url)
    _keep(plain_db, ["open", Seal([OLD]).close("old"), Seal([NEW]).close("new"),
                     Seal([GONE]).close("gone")])  # fmt: skip
    before = _secrets(plain_db)
    assert main(["secrets", "reseal"]) == 2
    assert main(["secrets", "key"]) == 0
    key = capsys.readouterr().out.strip()
    monkeypatch.setenv("PILEWATCH_SEALING__KEYS", f"{key} {NEW} {OLD}")
    assert main(["secrets", "reseal"]) == 1, "one is lost"
    assert capsys.readouterr().out.count(" 1 resealed, 0 were, 0 lost") == 3
    *read, gone = _secrets(plain_db)
    assert [Seal([key]).open(kept) for kept in read] == ["open", "old", "new"]
    assert gone == before[-1], "what cannot be read stays as it is"
    plain_db.execute("DELETE FROM report_contact")
    monkeypatch.setenv("PILEWATCH_SEALING__KEYS", key)
    assert main(["secrets", "reseal"]) == 0
    assert capsys.readouterr().out.count(" 0 resealed, 1 were, 0 lost") == 3


def test_many_secrets_are_sealed_anew_in_pieces(plain_db: Db) -> None:
    Community(plain_db)
    plain_db.execute(
        "INSERT INTO webhook (url, secret, topics, created_by, created_at) "
        "SELECT 'https://x.example', 'whs_' || n, '{ticket.*}', 1, now() "
        "FROM generate_series(1, 1100) n"
    )
    assert vars(reseal(plain_db, Seal([NEW]), "webhooks")) == {
        "kind": "webhooks", "renewed": 1100, "kept": 0, "lost": 0,
    }  # fmt: skip
    assert {Seal([NEW]).open(kept) for kept in _secrets(plain_db)} >= {"whs_1", "whs_1100"}


def test_contacts_of_before_are_read_after_the_migration(server_url: str) -> None:
    with connect(server_url, application="tests") as db:
        db.execute("DROP DATABASE IF EXISTS m_sealing")
        db.execute("CREATE DATABASE m_sealing")
    with connect(database_on(server_url, "m_sealing"), application="tests") as db:
        migrate(db, up_to=17)
        Community(db)
        _keep(db, ["a", "b", "c", Fernet(OLD).encrypt(b"d").decode()])
        migrate(db)
        assert [Seal([OLD]).open(kept) for kept in _secrets(db)] == ["a", "b", "c", "d"]
        assert reseal(db, Seal([NEW, OLD]), KINDS[-1]).renewed == 1
