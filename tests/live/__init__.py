"""Real sockets, real processes, real peers: the product as a stranger meets it (README.md says how to start them)."""
