"""Uptime: from what was said and heard to three figures side by side, exact, with their history."""
