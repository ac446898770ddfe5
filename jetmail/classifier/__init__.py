"""The statistical filter: features of a message, the model that weighs them, the scale of its answer. Pure (design 6, docs/classifier.md)."""
