"""The truth suite: simulated communities replayed through the real parts, and judged."""
