"""Every word that people read stands in the catalogues, in both languages, and none stands there
for nothing."""

import re
from collections.abc import Iterable
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest

from api.pages import board, commanding, past
from api.pages.install import _TOLD
from api.pages.render import SIZES
from api.pages.views import _TOLD_TO_RESIDENTS, PHOTO_WORDS, PORT_WORDS, SAYINGS
from api.pages.words import LOCALES
from api.papers import meeting as papers
from api.people import ROLES
from api.rights import SCOPES
from pilewatch.catalogues import read_catalogue
from pilewatch.faultcodes import FAULTS
from pilewatch.model import Kind, Status
from pilewatch.policy import PROMISES, Escalation
from pilewatch.store.explanation import UNITS
from pilewatch.workflow import matters, proving, shifts
from pilewatch.workflow.commands import CommandState
from pilewatch.workflow.tickets import BY_PEOPLE, PauseReason, TicketState

_HINTED = ("accept", "start", "resume", "reject", "reopen", "pause", "claim")


def _trial_words() -> list[str]:
    """Every reason and outcome of a trial that a timeline can show."""
    text = Path("alerts/selfrepair.py").read_text()
    reasons = re.findall(r'(?:return|Verdict\.[A-Z]+,|_end\(incident,) "([a-z-]+)"', text)
    return [*reasons, "rejected", "failed", "expired", "limit", "cured", "cleared"]


def _workflow_actions() -> list[str]:
    text = "".join(
        Path(f"{name}.py").read_text()
        for name in (
            *("pilewatch/workflow/transitions", "pilewatch/workflow/desk"),
            *("alerts/consequences",),
            *("pilewatch/workflow/reports", "pilewatch/workflow/inspections", "alerts/selfrepair"),
        )
    )
    found = re.findall(r'(?:to\([\w.]+|Entry|Comment\([\w.]+), ("[a-z-]+")', text)
    return [*found, *re.findall(r'Entry\(("[a-z-]+")', text)]


def _pages() -> dict[str, Iterable[str]]:
    """The beginnings of keys that are put together while a page is made, and how they go on."""
    kinds = [kind.name.lower().replace("_", "-") for kind in Kind]
    matter_kinds, matter_states = get_args(matters.Kind), get_args(matters.State)
    return {
        "action.": set(re.findall(r'"([a-z-]+)"', " ".join(_workflow_actions()))) | _OF_SQL,
        "actor.": ("person", "resident", "engine"),
        "adopt.problem.": ("incomplete", "gone"),
        "board.count.": ("danger", "late", "open", "repaired", "all"),
        "bulk.": ("assign", "accept", "comment", "silence"),
        "bulk.hours.": board.HOURS,
        "bulk.problem.": ("none", "reason"),
        "bulk.refused.": ("changed", "danger", "not-now", "not-yours"),
        "charger.": ("power", "temperature"),
        "command.": commanding._NAMES,
        "command.problem.": ("reason", "connector", "on-site", "under-way"),
        "command.state.": get_args(CommandState),
        "do.": {word for word in BY_PEOPLE if word != "merge"} | {f"{w}.hint" for w in _HINTED},
        "error.": {f"{word}.{part}" for word in (*_TOLD, 500) for part in ("title", "text")},
        "fault.": FAULTS,
        "guide.": {f"{kind}.{step}" for kind in ("ebike", "car") for step in range(1, 5)},
        "heat.": map(str, range(5)),
        "keys.": ("next", "previous", "open", "pick", "filter", "help"),
        "kind.": ("ebike", "car"),
        "lack.": get_args(proving.Word),
        "ladder.": {step.to for step in Escalation().steps},
        "map.": ("danger", "bad", "some", "good", "unknown"),
        "matter-state.": matter_states,
        "matter.": matter_kinds,
        "measure.": UNITS,
        "mend.": {state.value for state in TicketState} | {"review", "dismissed"},
        "observation.": kinds,
        "paper.": (*papers.LABELS, "content", "disputed"),
        "paper.mark.": ("done", "answered", "open", "late"),
        "pause.": get_args(PauseReason),
        "phase.": ("pending", "open", "clearing", "cleared", "dismissed", "member"),
        "photo.": PHOTO_WORDS,
        "policy.": ("tickets", "false-alarms", "delay", "missing", "extra"),
        "policy.state.": ("queued", "running", "done", "failed"),
        "port.": PORT_WORDS,
        "promise.": PROMISES,
        "promised.": (*PROMISES, "order"),
        "proof.": ("session", "idle", "online", "inspection"),
        "range.": map(str, past.PRESETS),
        "range.problem.": ("unreadable", "length"),
        "reason.": _engine_reasons(),
        "repair.by-": ("deadline", "way"),
        "role.": ROLES,
        "say.": SAYINGS,
        "scope.": [*SCOPES, "all"],
        "severity.": ("1", "2", "3"),
        "shift.problem.": ("unreadable", *get_args(shifts.Wrong)),
        "shift.scope.": get_args(shifts.ShiftScope),
        "size.": SIZES,
        "state.": {state.value for state in TicketState},
        "status.": {status.value for status in Status} | {"working"},
        "step.": _TOLD_TO_RESIDENTS,
        "sure.": ("sure", "fairly", "unsure"),
        "trial.": _trial_words(),
        "wait.": ("waiting.title", "free.title", "over.title"),
        "wall.": ("raised", "settled", "on-time", "satisfied", "open", "overdue"),
        "worker.": ("accept", "dismiss", "list", "map", "rounds", "confirms", "checks", "matters"),
        "worker.answer-": ("ok", "bad", "cannot"),
        "worker.entry-": ("visit", "photo", "review", "settle", "confirm", "meeting", "minutes",
                          "matter"),
        "worker.entry-state-": ("waiting", "sent", "refused"),
        "worker.kind-": matter_kinds,
        "worker.matter-": ("raised", "handed-on", "answered"),
        "worker.reason-": ("locked", "blocked", "unsafe", "no-tool"),
        "worker.stop-": ("open", "begun", "done", "waiting", "refused"),
        "worker.sync-": ("clear", "sending", "later", "offline", "login", "refused", "full"),
        "worker.what-to-do-": ("correct", "again"),
    }  # fmt: skip


_OF_SQL = frozenset(
    {
        *("announced", "assigned", "commented", "cost-added", "cost-withdrawn", "split"),
        *("order-accepted", "order-cancelled", "order-done", "order-returned"),
        *("resident-confirmed", "under-warranty"),
    }
)
"""Lines of a timeline whose word is chosen elsewhere than where the state changes."""


def _engine_reasons() -> set[str]:
    """Notes that the engine itself writes into a timeline."""
    sources = (
        "pilewatch/workflow/verification",
        "pilewatch/workflow/downtime",
        "alerts/consequences",
    )
    text = "".join(Path(f"{name}.py").read_text() for name in sources)
    return set(re.findall(r'(?:reason = |REASON = |ReturnClaim\()"([^"]+)"', text))


SOURCES = {
    "api.pages": ("api/**/*.html", "api/**/*.js", "api/pages/*.py", "api/papers/*.py",
                  "api/oidc.py"),
    "api.ledger": ("api/ledger/*.py", "api/ledger/*.typ", "api/matters.py", "pilewatch/*.py",
                   "pilewatch/workflow/*.py"),
    "api.fieldwork": ("api/fieldwork/*.py", "api/fieldwork/*.typ", "pilewatch/intervals.py"),
    "alerts.notify": ("alerts/notify/*.py",),
}  # fmt: skip
"""Who ships a catalogue, and what may name its keys."""
OUTSIDE = {
    "api.ledger": ("cause.", "remedy.", "part.", "duty.", "payer."),
    "api.fieldwork": ("outcome.", "presence.", "rule.", "state."),
    "alerts.notify": ("topic.", "letter."),
}
"""Beginnings whose ends are chosen outside of these sources: by codes, by phones, by events."""
_PHONES = {"field.", "field.rule."}
"""Under it the worker's app has the catalogue of fieldwork."""
_FILE = re.compile(r"""["'][\w./-]+\.(?:html|css|js|svg|typ)["']""")
_NO_KEY = re.compile(r"""\b(?:h|s)\((?:"[^"]*"|`[^`]*`)|\brecord\(\s*[\w., ]*"[^"]*\"""")
_WHOLE = re.compile(r"""["']([a-z][a-z0-9-]*(?:\.[a-z0-9-]+)*)["']""")
_BEGUN = (
    re.compile(r"""\bt\(["']([a-z0-9.-]+[.-])["'] ~"""),
    re.compile(r"\b(?:t|has)\(`([a-z0-9.-]+[.-])\$\{"),
    re.compile(r"""f["']([a-z][a-z0-9-]*\.[a-z0-9.-]*)\{"""),
)


def _said(package: str) -> str:
    """The sources, without what looks like a key and is none: files, selectors, the audit."""
    found = [p.read_text() for each in SOURCES[package] for p in sorted(Path().glob(each))]
    return _NO_KEY.sub("", _FILE.sub("", "\n".join(found)))


def test_pages_speak_in_words_of_the_catalogue_only_and_use_each() -> None:
    text, known, families = _said("api.pages"), set(read_catalogue("api.pages", "en")), _pages()
    begun = {begin for pattern in _BEGUN for begin in pattern.findall(text)} - _PHONES
    assert begun == set(families), "its ends are to be listed here"
    built = {f"{begin}{end}" for begin, ends in families.items() for end in ends}
    first = {key.partition(".")[0] for key in known}
    whole = {k for k in _WHOLE.findall(text) if "." in k and k.partition(".")[0] in first} - begun
    assert (whole | built) - known == set(), "missing"
    assert known - (whole | built) == set(), "unused"
    assert not re.findall(r"[\u4e00-\u9fff]", _said("api.pages").replace("中文", ""))


@pytest.mark.parametrize("package", OUTSIDE)
def test_other_catalogues_hold_no_word_that_nothing_says(package: str) -> None:
    text, known = _said(package), set(read_catalogue(package, "en"))
    begun = {begin for pattern in _BEGUN for begin in pattern.findall(text)}
    begins = (*begun, *OUTSIDE[package])
    assert {k for k in known if not k.startswith(begins)} - set(_WHOLE.findall(text)) == set()
    spoken = set(re.findall(r"""\b(?:t|words|self)\(["']([a-z0-9.-]+[a-z0-9])["']""", text))
    assert spoken <= known | set(read_catalogue("api.pages", "en"))


@pytest.mark.parametrize("package", SOURCES)
def test_both_languages_say_the_same_things_with_the_same_values(package: str) -> None:
    chinese, english = (read_catalogue(package, locale) for locale in LOCALES.values())
    assert set(chinese) == set(english)
    empty = {"port.confirmed.before", "port.confirmed.after", "comma"}
    for key in english:
        assert key in empty or (chinese[key] and english[key]), key
        values = [{name for _, name, _, _ in Formatter().parse(text) if name}
                  for text in (chinese[key], english[key])]  # fmt: skip
        assert values[0] == values[1], key
