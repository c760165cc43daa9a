"""The outlet's records about people: the access log and its audit, and customers' requests."""
