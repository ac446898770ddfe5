"""The statistical filter: features of a message, the model that weighs them, the scale its answer is given on. Pure (design 6, docs/classifier.md)."""
