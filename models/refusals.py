"""What can go wrong between the hub and this disk, said so that a person can mend it. Used by `models.hub`."""
from __future__ import annotations

import errno

from models.errors import StudioError


class Refused(StudioError):
    """The hub, or this machine, says no. kind: "gated" (a token and an accepted licence are needed), "token" (the token is not good),
    "gone", "space", "disk", "damaged" or "network"."""

    def __init__(self, kind: str, what: str, why: str = "", todo: str = "") -> None:
        super().__init__(what, why, todo)
        self.kind = kind


def refusal(error: Exception, repo: str, revision: str, with_token: bool) -> Refused:
    """An error of huggingface_hub, of the network or of the disk, in words. with_token: whether a token of the person's was shown.

    Raises what is a bug.
    """
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )  # fmt: skip

    page = f"{endpoint()}/{repo}"
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
    if isinstance(error, Refused):
        return error
    if isinstance(error, AssertionError | AttributeError | LookupError | NameError | TypeError):
        raise error  # a bug, which belongs into the log whole
    if isinstance(error, GatedRepoError):
        if with_token:
            why = "The account of the token given here has not been let in."
            what = f"{repo} asks for its licence to be accepted."
            return Refused("gated", what, why, f"Accept it at {page}, then resume.")
        why = "It is gated: the hub wants to know who downloads it."
        return Refused("gated", f"{repo} needs a token.", why, f"Accept the licence at {page}, then give a token here.")
    # huggingface_hub's word for a lost connection is, by its class, also an entry that is not there.
    lost = isinstance(error, LocalEntryNotFoundError)
    if isinstance(error, RevisionNotFoundError | EntryNotFoundError) and not lost:
        missing = f"{repo} has no revision {revision} with that file."
        return Refused("gone", missing, "It was taken back.")
    if status in (401, 403) and with_token:
        return Refused("token", "The hub does not take the token.", f"It answered {status}.", "Give another one, then resume.")
    if isinstance(error, RepositoryNotFoundError) or status in (401, 403, 404):
        return Refused("gone", f"{repo} was not found on the hub.", "It was renamed, or is private.", f"Look at {page}.")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Refused("space", "The disk is full.", str(error.strerror), "Make room, then resume: what arrived is kept.")
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.EIO):
        return Refused("disk", "The weights cannot be written.", str(error), "Mend that, then resume.")
    why = "Hub access is off (HF_HUB_OFFLINE)." if isinstance(error, OfflineModeIsEnabled) else f"{type(error).__name__}: {error}"[:300]
    what = "The hub cannot be reached, or the connection was lost."
    return Refused("network", what, why, "Resume when it is back: what arrived is kept.")


def endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT
