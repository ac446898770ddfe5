"""Who sent it: the algorithms of SPF, DKIM, ARC and DMARC over IResolver. No policy, no store."""
