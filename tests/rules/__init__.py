"""Judgement: verdicts, the chain, conditions, the shipped rules."""
