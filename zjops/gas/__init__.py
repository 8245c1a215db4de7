"""What a confirmation costs: measured on a chain, shown as tables."""
