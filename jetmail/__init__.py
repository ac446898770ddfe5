"""jetmail: a mail appliance in one Twisted process. docs/flow.md tells the way of a message through these rooms."""
