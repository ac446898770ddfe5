"""What rules over content share."""
