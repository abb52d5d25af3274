"""What is known of every request and text: its number, counts, log, drift, records."""
