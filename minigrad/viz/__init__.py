"""Pictures that explain: plots of training and of what a network has learned."""
