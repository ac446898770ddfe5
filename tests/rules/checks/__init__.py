"""Rules over content, one by one and all together."""
