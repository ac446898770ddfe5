"""The values mail is made of: address, envelope, message, reply, outcome, status. Standard library (and idna) only, immutable, no I/O."""
