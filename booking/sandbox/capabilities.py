"""Search parameters Canvas serves that FHIR R4B does not define, declared so that /metadata lists them."""

import io

_BASE = "http://schemas.canvasmedical.com/fhir/search/"

_CUSTOM = {
    "Patient": {"nickname": ("string", "The patient's preferred name")},
    "Practitioner": {
        "include-non-schedulable-practitioners": ("token", "Whether staff who take no visits are included"),
        "npi-number": ("string", "National Provider Identifier"),
    },
    "Slot": {
        "duration": ("number", "Length of the wanted times in minutes"),
        "end": ("string", "Last day, inclusive"),
    },
}


def config_file() -> io.BytesIO:
    """fhirstarter's configuration, which it reads as a TOML file."""
    lines = []
    for resource_type, parameters in _CUSTOM.items():
        for name, (kind, description) in parameters.items():
            lines += [
                f"[search-parameters.{resource_type}.{name}]",
                f'type = "{kind}"',
                f'description = "{description}"',
                f'uri = "{_BASE}{resource_type}-{name}"',
                "include-in-capability-statement = true",
            ]
    return io.BytesIO("\n".join(lines).encode())
