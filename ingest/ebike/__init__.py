"""E-bike port cabinets: a gateway that is their server, and a tap before somebody else's."""
