"""Pilewatch: what charging piles and people say, turned into repaired piles."""

__version__ = "0.1.0"
