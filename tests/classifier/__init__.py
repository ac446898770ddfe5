"""The statistical filter."""
