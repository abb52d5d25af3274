"""What differs between text classification and the other tasks."""
