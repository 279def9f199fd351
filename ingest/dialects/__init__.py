"""One module for each make; `ingest/dialect.py` knows them all."""
