"""What becomes of a message that is sent."""


class NotSent(Exception):
    """It did not arrive; `retry_after_s` is what the other side asked for."""

    def __init__(self, reason: str, retry_after_s: float | None = None):
        super().__init__(reason)
        self.retry_after_s = retry_after_s
