"""Sending: schedule, queue, route, pool, attempt, bounce."""
