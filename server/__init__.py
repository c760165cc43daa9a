"""The two servers, HQ and the privacy office, and the wire between them."""
