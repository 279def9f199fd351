"""`python -m alerts`: the engine alone."""

import sys

from alerts.main import run
from pilewatch.settings import load_settings

sys.exit(run(load_settings()))
