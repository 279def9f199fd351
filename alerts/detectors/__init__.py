"""Detectors: pure functions from what happened to findings. See docs/add-a-detector.md."""
