"""Who the customers are: client-book entries, persons, consents, and introducing them."""
