"""The tables, one file a migration: SQL as text inside modules, so that a wheel carries them without being told. Read these to know the data."""
