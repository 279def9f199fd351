"""The "DNY" frames of e-bike port cabinets: bytes and fields; what they mean is the ingester's."""
