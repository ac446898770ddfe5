"""Large content as files, and the sweep at boot."""
