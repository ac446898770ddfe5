"""What cannot be broken from outside is broken in process: the clock."""
