"""Files of the user's own: which column holds what, which particle belongs to which jet, and the way back."""
