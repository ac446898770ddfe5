"""The HTTP API: its door, its versions, its description."""
