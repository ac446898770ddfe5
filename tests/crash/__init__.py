"""Every message answered 250 survives SIGKILL: delivered, or still queued. `python -m tests.crash -n 25`."""
