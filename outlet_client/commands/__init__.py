"""The commands of `escapement-outlet`, thin: what they do lives below."""
