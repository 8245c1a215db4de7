"""The contract: one table of operations, from which come the routes, the scopes and the OpenAPI document."""
