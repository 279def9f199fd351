"""How chargers of many makes speak over MQTT: one module each, all giving the same Observations."""
