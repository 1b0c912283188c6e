"""Whom we believe to be who they say: whom the user's system trusts, and the files that are named."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

import truststore

from localllm.errors import ConfigError

OWN_AUTHORITIES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
"""Variables in which people name their company's certificates, for one tool or another."""


def trust(environment: Mapping[str, str]) -> ssl.SSLContext:
    """Trust the system's store, which a company's authority is in, and the files that are named.

    Raises:
        ConfigError: A file that is named is not there, or holds no certificate.
    """
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name in OWN_AUTHORITIES:
        if environment.get(name):
            _trust_also(context, name, Path(environment[name]))
    return context


def _trust_also(context: ssl.SSLContext, variable: str, place: Path) -> None:
    """Trust a file of certificates, or a folder of them by their hashes, as requests does."""
    file, folder = (None, place) if place.is_dir() else (place, None)
    try:
        context.load_verify_locations(cafile=file, capath=folder)
    except OSError as error:
        raise ConfigError(
            f"{variable} names no file of certificates.",
            why=f"{place}: {error.strerror or error}",
            fix=f"correct {variable}, or take it out of the environment",
        ) from error
