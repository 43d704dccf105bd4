"""`faithful-aad annotations`: checking annotations and converting them."""
