"""What staff may ask by day: a customer's bands, and this outlet's own reasons."""
