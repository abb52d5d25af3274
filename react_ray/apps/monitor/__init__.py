"""Opinion monitoring: sentiment and topics of a stream of texts, trends, surges and alerts."""
