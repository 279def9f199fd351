"""`python -m ingest`: the ingester alone, without the other commands' imports."""

import sys

from ingest.main import run
from pilewatch.settings import load_settings

sys.exit(run(load_settings()))
