"""Webhooks: deliveries are written with the change they tell of, and carried by a loop that never gives up early."""
