"""What leaves this machine on its user's word: bundles, signatures, redaction, consent, and where it goes."""
