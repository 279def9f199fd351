"""The reference of (b): each message inserted, committed and acknowledged alone. `PORT URL`."""

import sys
from datetime import UTC, datetime
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
import psycopg

from bench.bare import connected
from bench.prototype import INSERT, NAMES, Meter, charger_ids


def main(port: int, url: str) -> None:
    """Until killed."""
    client, decode = connected("one-by-one", port), msgspec.json.Decoder(Meter).decode
    insert = f"{INSERT} VALUES ({', '.join(['%s'] * len(NAMES))}) ON CONFLICT DO NOTHING"
    with psycopg.connect(url, autocommit=True) as db:
        ids = charger_ids(db)

        def on_message(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
            said = decode(message.payload)
            charger = ids[message.topic.split("/")[2]]
            db.execute(insert, said.row(charger, datetime.now(UTC)))
            client.ack(message.mid, message.qos)

        client.on_message = on_message
        client.loop_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
