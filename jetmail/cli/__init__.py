"""bin/jetmail: one module a command family."""
