"""IAM of ministack, with simulations of the policies of roles that have a path or do not exist."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from localcloud.core.patches import uses
from localcloud.core.service import Service

if TYPE_CHECKING:
    from localcloud.core.service import Json

OPERATION = "SimulatePrincipalPolicy"
_IAM = uses("ministack.services.iam", "_IAM_HANDLERS", "_error", "_p", "_roles")


def service() -> Service:
    """Return the service; its operations are ministack's."""
    return Service(name="iam", install=install)


def install() -> None:
    """Find roles by their names; ministack takes a path for part of the name, and denies an unknown role."""
    simulate = _IAM["_IAM_HANDLERS"][OPERATION]

    def by_name(parameters: Json) -> Any:
        head, role, path = str(_IAM["_p"](parameters, "PolicySourceArn")).partition(":role/")
        if not role:
            return simulate(parameters)
        name = path.rpartition("/")[2]
        if name not in _IAM["_roles"]:
            words = f"The role with name {name} cannot be found."
            return _IAM["_error"](HTTPStatus.NOT_FOUND, "NoSuchEntity", words, ns="iam")
        return simulate({**parameters, "PolicySourceArn": [f"{head}{role}{name}"]})

    _IAM.add("_IAM_HANDLERS", OPERATION, by_name)
