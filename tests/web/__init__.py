"""The web site: its door, its pages, what it counts."""
