"""Messages and events between roles: one port, NATS JetStream and memory behind it."""
