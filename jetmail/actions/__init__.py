"""The use cases, and the only place that decides who may do what."""
