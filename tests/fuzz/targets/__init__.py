"""The targets, by where the octets come from. Seeds are small and ours; what the fixtures have is added when they are there."""
