"""The load generator: Locust users that share one schedule of arrivals. Knows the platform through `zjops` alone."""
