"""Named jobs with a persisted last run."""
