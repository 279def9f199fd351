"""What speed this machine allows: paho, msgspec, COPY, commit, acknowledge, and no more. `PORT URL`

No registry, no current state, no events, no bad input, no lost connection: 60 lines.
"""

import select
import sys
from collections import deque
from datetime import UTC, datetime
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
import psycopg

from bench.bare import connected

NAMES = (
    *("charger_id", "connector", "kind", "seq", "observed_at", "received_at", "session_id"),
    *("energy_wh", "power_w", "voltage_v", "current_a", "temperature_c"),
)
_TYPES = ["int4", "int2", "int2", "int8", "timestamptz", "timestamptz", "text", *["float8"] * 5]
INSERT = f"INSERT INTO observation ({', '.join(NAMES)})"


class Meter(msgspec.Struct, rename="camel", gc=False):
    """A meter value of the wire contract."""

    at: datetime
    connector: int
    session_id: str
    energy_wh: float
    power_w: float
    voltage_v: float
    current_a: float
    temperature_c: float

    def row(self, charger: int, received: datetime) -> tuple[Any, ...]:
        """In the order of NAMES."""
        measured = (self.energy_wh, self.power_w, self.voltage_v, self.current_a)
        head = (charger, self.connector, 2, -1, self.at, received, self.session_id)
        return (*head, *measured, self.temperature_c)


def charger_ids(db: psycopg.Connection[Any]) -> dict[str, int]:
    """Code to id."""
    return dict(db.execute("SELECT code, id FROM charger").fetchall())


def main(port: int, url: str) -> None:
    """Until killed."""
    client, decode = connected("prototype", port), msgspec.json.Decoder(Meter).decode
    waiting: deque[mqtt.MQTTMessage] = deque()
    client.on_message = lambda _client, _data, message: waiting.append(message)
    with psycopg.connect(url) as db:
        db.execute(
            f"CREATE TEMPORARY TABLE batch ON COMMIT DELETE ROWS AS "
            f"SELECT {', '.join(NAMES)} FROM observation LIMIT 0"
        )
        ids = charger_ids(db)
        db.commit()
        socket = client.socket()
        assert socket is not None
        while True:
            while len(waiting) < 5000 and select.select([socket], [], [], 0.005)[0]:
                client.loop_read()
            client.loop_write()  # what callbacks had to say
            client.loop_misc()
            batch = [waiting.popleft() for _ in range(len(waiting))]
            with db.cursor().copy("COPY batch FROM STDIN (FORMAT binary)") as copy:
                copy.set_types(_TYPES)
                for message in batch:
                    charger = ids[message.topic.split("/")[2]]
                    copy.write_row(decode(message.payload).row(charger, datetime.now(UTC)))
            db.execute(f"{INSERT} SELECT * FROM batch ON CONFLICT DO NOTHING")
            db.commit()
            for message in batch:
                client.ack(message.mid, message.qos)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
