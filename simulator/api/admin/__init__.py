"""`/v1/admin`: the operators' door (C85). Every call is in the audit log; every change is told as an OPS event."""
