"""The desk: pages for people with a customer in front of them, served at the outlet itself."""
