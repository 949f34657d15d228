"""A local EHR with the manners of Canvas, Medplum or plain R4: its own program, sharing nothing with the portal."""
