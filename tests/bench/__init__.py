"""What things cost: the EHR call (``client_cost``) and the slot grid beside its peer and its floor (``make bench``)."""
