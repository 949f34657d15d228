"""The sandbox with the manners of a FHIR R4 server: a plain one, or Medplum."""
