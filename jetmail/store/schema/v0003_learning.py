"""Migration 3: what the statistical filter learns.

A training is written twice: in `trainings`, which remembers that this message was learnt for this person, and as a step of the journal
`training_steps`, which the running process applies to its model and forgets once the model file that holds it is safe. So the command line and
the portal only ever write here, and one process alone writes the model file (docs/classifier.md).
"""

from __future__ import annotations

SQL = """
-- Each message once for each person; the last word counts. `content` is a digest of the message as it was sent to us.
CREATE TABLE trainings (
    id INTEGER PRIMARY KEY,
    content TEXT NOT NULL,
    person TEXT NOT NULL,                           -- Address.key; '' for everybody
    label INTEGER NOT NULL CHECK (label IN (0, 1)), -- 1 spam, 0 ham
    at REAL NOT NULL,
    actor TEXT NOT NULL DEFAULT '',
    UNIQUE (content, person)
);
CREATE INDEX trainings_at ON trainings (at);

-- AUTOINCREMENT: a number is never given twice, though the rows go; the model file says up to which it has learnt.
CREATE TABLE training_steps (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    person TEXT NOT NULL,
    label INTEGER NOT NULL CHECK (label IN (0, 1)),
    undoes INTEGER NOT NULL DEFAULT 0,              -- 1: the same message was learnt as the opposite before
    features BLOB NOT NULL                          -- classifier.features.pack
);

-- What one person's own trainings add to the model of all.
CREATE TABLE overlays (
    person TEXT NOT NULL PRIMARY KEY,
    data BLOB NOT NULL                              -- classifier.overlay.Overlay
);

-- Which journal the numbers are of: a model file of another store starts anew.
CREATE TABLE learning (identity TEXT NOT NULL);
INSERT INTO learning (identity) VALUES (lower(hex(randomblob(8))));
"""
