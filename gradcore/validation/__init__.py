"""What users pass, as arrays and numbers: checks with one message each, and conversions."""
