"""What every request passes before it reaches a resource: an ordered list of ASGI middleware."""
