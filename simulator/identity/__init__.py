"""Who is calling: client credentials, the token issuer and the verifier (RFC 6749, 9068, 7517, 8414)."""
