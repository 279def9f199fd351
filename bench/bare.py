"""The reference of (a): a bare paho subscriber, QoS 1, acknowledging by hand. `PORT COUNT`, and
perhaps a JSON list of topic filters."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

_NATIVE = ("pilewatch/v1/+/up/#",)


def connected(client_id: str, port: int, filters: Sequence[str] = _NATIVE) -> mqtt.Client:
    """A client as the references need it: MQTT 5, manual acknowledgement, subscribed."""
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5, manual_ack=True
    )
    client.on_connect = lambda c, *_: c.subscribe([(each, 1) for each in filters])
    client.on_subscribe = lambda *_: print("ready", flush=True)
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.ReceiveMaximum = 8000
    client.connect("127.0.0.1", port, properties=properties)
    return client


def main(port: int, wanted: int, filters: Sequence[str] = _NATIVE) -> None:
    """Receive and acknowledge; say "done" when all came."""
    client, seen = connected("bare", port, filters), 0

    def on_message(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        nonlocal seen
        seen += 1
        client.ack(message.mid, message.qos)
        if seen == wanted:
            print("done", flush=True)

    client.on_message = on_message
    client.loop_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *map(json.loads, sys.argv[3:]))
