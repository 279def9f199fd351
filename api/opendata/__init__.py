"""What other programs read: OCPI, Open311, DATEX II, GeoJSON, Atom and RSS."""
