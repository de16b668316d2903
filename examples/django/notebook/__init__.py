"""The project: its settings, its addresses, its way in for the server."""
