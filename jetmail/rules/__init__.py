"""Judgement, pure over facts and policy: verdicts, the chain, its registry."""
