"""The ground: the only room that says sqlite3."""
