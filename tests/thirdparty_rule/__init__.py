"""A package of somebody else's, with rules of its own: they come by the same door as ours."""
