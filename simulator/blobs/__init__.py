"""Large payloads and results by SHA-256."""
