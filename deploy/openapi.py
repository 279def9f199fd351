"""`pilewatch openapi`: the API's document as a file, for clients that are made from it."""

import argparse
import json
import logging

from pilewatch.settings import Settings


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the document, or write it to `--out`. Asks no database."""
    from api.app import create_app  # noqa: PLC0415

    logging.getLogger("psycopg.pool").disabled = True  # it would tell that there is no database
    app = create_app(settings)
    app.state.context.pool.close()
    text = json.dumps(app.openapi(), ensure_ascii=False, indent=1)
    if arguments.out is None:
        print(text)
    else:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text, encoding="utf-8")
    return 0
