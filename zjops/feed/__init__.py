"""The feed: what flows from a platform, or from a recording of one, as small messages at a bounded rate."""
