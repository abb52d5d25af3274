"""Customer service: an assistant built from questions and answers."""
