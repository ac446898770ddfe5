"""Receiving: listener, protocol shell, transaction."""
