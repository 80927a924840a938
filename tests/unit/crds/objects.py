"""Objects as YAML gives them, right in all that a test does not change."""

from typing import Any


def pool(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "metallb.io/v1beta1",
        "kind": "IPAddressPool",
        "metadata": {"name": "lan", "namespace": "metallb-system"},
        "spec": {"addresses": ["192.0.2.0/28"], **spec},
    }


def l2_ad(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "metallb.io/v1beta1",
        "kind": "L2Advertisement",
        "metadata": {"name": "lan"},
        "spec": spec,
    }


def service(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}


def allocation(**fields: Any) -> dict[str, Any]:
    return pool(serviceAllocation=fields)


def selecting(**selector: Any) -> dict[str, Any]:
    return l2_ad(nodeSelectors=[selector])


def expressing(**expression: Any) -> dict[str, Any]:
    return selecting(matchExpressions=[expression])
