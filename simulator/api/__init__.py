"""The REST interface: one router a resource, behind the gateway."""
