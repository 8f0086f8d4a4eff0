"""Target devices: what is known of them beforehand. Nothing is imported here, and nothing below needs torch."""
