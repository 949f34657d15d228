"""A local EHR with Canvas manners: its own program, sharing nothing with the portal that talks to it."""
