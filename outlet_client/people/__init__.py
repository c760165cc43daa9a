"""The outlet's customers: client book, persons, consents, registration with the network."""
