"""Key files as Google's console hands them out, for accounts that exist nowhere."""

from __future__ import annotations

import json

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


def service_account(url: str, project: str) -> str:
    """Return the text of a service account's key file.

    :param url: where the stand-in listens; its token endpoint is ``/token``.
    :param project: name of the Firebase project.
    """
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    values = {
        "type": "service_account",
        "project_id": project,
        "private_key_id": "1",
        "private_key": private.decode(),
        "client_email": f"leo@{project}.iam.gserviceaccount.com",
        "token_uri": f"{url}/token",
    }
    return json.dumps(values)
