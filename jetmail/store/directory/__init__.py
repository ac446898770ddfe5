"""What people configure: accounts, domains, aliases, recipients, rules. Plain functions of a connection."""
