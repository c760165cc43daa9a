"""`init` and `check`: what an outlet's data are, before anything is done with them."""
