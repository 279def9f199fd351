"""`pilewatch trials`: the process that tries drafts of the policy on history, one at a time."""

import argparse
import signal
import threading
import time
from collections.abc import Callable
from datetime import datetime

import psycopg
import structlog

from alerts.backtest import as_json
from deploy.backtest import CannotReplay, run_backtest
from pilewatch.clock import utc_now
from pilewatch.observability import setup_logging
from pilewatch.policy import BadPolicy, read_policy
from pilewatch.settings import Settings
from pilewatch.store.policies import Trial, claim, end_trial, note_progress
from pilewatch.store.pool import Db, connect

_LOG = structlog.get_logger()
_EVERY_S = 2.0
_SHOWN = 200
"""So many of each kind of ticket are kept for the page."""


def register(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Its word on the command line."""
    parser = add("trials", _run, "try drafts of the policy on history, for the policy page")
    parser.add_argument("--once", action="store_true", help="only what waits now")


def _run(settings: Settings, arguments: argparse.Namespace) -> int:
    setup_logging(settings.log_format, process="trials")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.is_set():
        try:
            with connect(
                settings.database.url.get_secret_value(), application="pilewatch trials"
            ) as db:
                while try_next(db, settings):
                    if stop.is_set():
                        return 0
                if arguments.once:
                    return 0
        except psycopg.OperationalError as error:
            _LOG.warning("database is away", error=str(error).strip().splitlines()[:1])
            if arguments.once:
                return 1
        stop.wait(_EVERY_S)
    return 0


def try_next(db: Db, settings: Settings) -> bool:
    """Try one draft that waits; False where none does. Whatever goes wrong is told on the page."""
    trial = claim(db, utc_now())
    if trial is None:
        return False
    _LOG.info("trying a policy", draft=trial.id)
    try:
        policy = read_policy(trial.text, f"policy {trial.id}")
        found = run_backtest(
            settings, policy, trial.begins, trial.ends, progress=_teller(db, trial)
        )
    except (BadPolicy, CannotReplay, psycopg.Error) as error:
        if db.closed:
            raise
        end_trial(db, trial.id, problem=str(error).strip().splitlines()[0])
    else:
        document = as_json(found)
        lists = {word: document[word][:_SHOWN] for word in ("missing", "extra")}
        end_trial(db, trial.id, result={"summary": document["summary"], **lists})
    return True


def _teller(db: Db, trial: Trial) -> Callable[[datetime], None]:
    """Writes how far the replay has come, at most once a second."""
    told = 0.0

    def tell(at: datetime) -> None:
        nonlocal told
        if time.monotonic() - told >= 1:
            told = time.monotonic()
            share = (at - trial.begins) / (trial.ends - trial.begins)
            note_progress(db, utc_now(), trial.id, min(0.99, max(0.0, share)))

    return tell
