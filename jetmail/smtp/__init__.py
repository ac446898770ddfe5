"""The SMTP grammar, server and client side: bytes in, events and bytes out. No I/O, no clock, no store."""
