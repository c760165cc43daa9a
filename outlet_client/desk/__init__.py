"""The desk: web pages for staff, served at the outlet, and a socket for its own programs."""
