"""The command line: one module per family of commands, the demo, and the wake-up call to a running process."""
