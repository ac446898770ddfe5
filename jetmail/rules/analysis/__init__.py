"""What rules over content share: readings of hosts, letters, names, words and files. Values and functions, no rule."""
