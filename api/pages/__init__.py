"""Server-rendered pages for residents and staff; they work without JavaScript."""
