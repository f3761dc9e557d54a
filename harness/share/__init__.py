"""What leaves this machine on its user's word: bundles, and who signed them."""
