"""
moto's server at 127.0.0.1:5000 and at a socket file. It adds behavior of EC2 that moto 5.2.5 lacks and the AWS provider
needs. It writes Terraform's calls to a file, one action in a line, by its name in IAM.

usage: python emulator.py SOCKET CALLS
"""

import os
import sys
from threading import Thread

from moto.core.responses import BaseResponse
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instances import Instance
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ec2.models.subnets import Subnet
from moto.ec2.responses.dhcp_options import DHCPOptions
from moto.elbv2.models import ELBv2Backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server


def after(owner, name):
    """Calls the decorated function after a method, with the result of the method."""

    def decorate(function):
        method = getattr(owner, name)

        def both(self, *args, **kwargs):
            result = method(self, *args, **kwargs)
            function(self, result)
            return result

        setattr(owner, name, both)

    return decorate


def before(owner, name):
    """Calls the decorated function before a method, with the arguments of the method."""

    def decorate(function):
        method = getattr(owner, name)

        def both(self, *args, **kwargs):
            function(self, *args, **kwargs)
            return method(self, *args, **kwargs)

        setattr(owner, name, both)

    return decorate


@after(Instance, "prep_nics")
def instances_have_the_groups_of_their_interface(self, _):
    """Without it, the provider always reports drift of a machine that was created with an interface block."""
    if not self.security_groups and 0 in self.nics:
        self.security_groups = list(self.nics[0]._group_set)


@after(DHCPOptions, "create_dhcp_options")
def dhcp_options_keep_their_tags(self, result):
    """Without it, moto drops the tags of the request."""
    tags = self._parse_tag_specification().get("dhcp-options", {})
    for key, value in tags.items():
        result.result["DhcpOptions"].add_tag(key, value)


@after(Instance, "terminate")
def terminated_instances_leave_nothing(self, _):
    """Without it, a replacement with the same private address fails, and interfaces are never deleted."""
    subnet = self.ec2_backend.get_subnet(self.subnet_id)
    interfaces = list(self.nics.values())
    addresses = [address["PrivateIpAddress"] for nic in interfaces for address in nic.private_ip_addresses]
    for address in {*self._private_ips, *addresses}:
        subnet.del_subnet_ip(address)
    for interface in interfaces:
        self.ec2_backend.enis.pop(interface.id, None)


@before(Subnet, "request_ip")
def an_address_in_use_is_the_clients_error(self, ip, instance):
    """Without it, moto reports an error of the server, and the provider retries the call for many minutes."""
    if ip in addresses_in_use(self):
        raise EC2ClientError("InvalidIPAddress.InUse", f"Address {ip} is in use.")


def addresses_in_use(subnet):
    interfaces = subnet.ec2_backend.get_all_network_interfaces()
    return {*subnet._subnet_ips, *(each.private_ip_address for each in interfaces if each.subnet.id == subnet.id)}


@after(ELBv2Backend, "create_load_balancer")
def a_load_balancer_draws_an_address_in_each_subnet(self, balancer):
    """EC2 draws any free address that is not reserved. This draws the lowest, so that tests know it."""
    for subnet in balancer.subnets:
        reserved = [reservation.cidr for reservation in subnet._cidr_reservations]
        in_use = addresses_in_use(subnet)
        # EC2 keeps the first four addresses of a subnet and the last. hosts() leaves out the first and the last.
        free = (host for host in list(subnet.cidr.hosts())[3:] if str(host) not in in_use)
        address = next(str(host) for host in free if not any(host in cidr for cidr in reserved))
        interface = self.ec2_backend.create_network_interface(subnet, address, description=description(balancer.arn))
        interface.requester_managed = True


@before(ELBv2Backend, "delete_load_balancer")
def a_deleted_load_balancer_leaves_no_interface(self, arn):
    enis = self.ec2_backend.enis
    for id in [each.id for each in enis.values() if each.description == description(arn)]:
        del enis[id]


def description(arn):
    """The description that EC2 gives to the interfaces of a network load balancer: ELB net/NAME/ID."""
    return "ELB net/" + "/".join(arn.split("/")[-2:])


# If a rule refers to a group, its description is a field of the reference.
SecurityGroupRule.description = property(
    lambda self: self.ip_range.get("Description") or self.source_group.get("Description")
)


@before(BaseResponse, "call_action")
def record_calls_of_terraform(self):
    """Writes each call of Terraform to the file CALLS."""
    if "Terraform" in self.headers.get("User-Agent", ""):
        print(f"{SERVICES.get(self.service_name, self.service_name)}:{self._get_action()}", file=calls, flush=True)


# The names of services in IAM, by their names in moto.
SERVICES = {"elbv2": "elasticloadbalancing"}


class Handler(MotoRequestHandler):
    # Sends an answer in one write. With two writes, the provider sometimes failed to read the second one.
    wbufsize = -1

    def log_request(self, code="-", size="-"):
        if str(code) >= "400":
            super().log_request(code, size)


def server(host, port=0):
    app = DomainDispatcherApplication(create_backend_app)
    return make_server(host, port, app, threaded=True, request_handler=Handler)


calls = open(sys.argv[2], "a")
os.environ["MOTO_PORT"] = "5000"
servers = [server(f"unix://{sys.argv[1]}"), server("127.0.0.1", 5000)]
print("ready", flush=True)
Thread(target=servers[0].serve_forever, daemon=True).start()
servers[1].serve_forever()
