"""
moto's server at 127.0.0.1:5000 and at a socket file. It adds behavior of EC2 that moto 5.2.5 lacks and the AWS provider
needs. It writes Terraform's calls to a file, one action in a line, by its name in IAM.

usage: python emulator.py SOCKET CALLS
"""

import os
import sys
from copy import copy
from itertools import cycle
from threading import Thread

from moto.core.responses import BaseResponse
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends, elastic_network_interfaces
from moto.ec2.models.instances import Instance, InstanceBackend
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ec2.models.subnets import Subnet
from moto.ec2.responses.dhcp_options import DHCPOptions
from moto.elbv2.models import ELBv2Backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from vpcs import ACCOUNT, application, description, note_change
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


@before(Instance, "reboot")
def only_a_running_instance_reboots(self):
    """Without it, a stopped instance runs after it, without a public address."""
    if self.state != "running":
        raise EC2ClientError("IncorrectState", f"The instance '{self.id}' is {self.state}, so it cannot be rebooted.")


@after(Instance, "reboot")
def reboots_are_counted(self, _):
    """A machine is restarted when the number grows."""
    self.reboots = getattr(self, "reboots", 0) + 1


start_instance = Instance.start


def a_running_instance_stays_as_it_is(self):
    """Without it, the start of a running instance gives it another public address."""
    return copy(self._state) if self.state == "running" else start_instance(self)


Instance.start = a_running_instance_stays_as_it_is

modify_metadata_options = InstanceBackend.modify_instance_metadata_options


def metadata_options_keep_the_others(self, instance_id, **changes):
    """Without it, options that the call does not name are lost."""
    previous = vars(self.get_instance(instance_id).metadata_options)
    options = modify_metadata_options(self, instance_id, **changes)
    for name, value in previous.items():
        if getattr(options, name) is None or (name.endswith("hop_limit") and changes.get("hop_limit") is None):
            setattr(options, name, value)
    return options


InstanceBackend.modify_instance_metadata_options = metadata_options_keep_the_others


@before(Subnet, "request_ip")
def an_address_in_use_is_the_clients_error(self, ip, instance):
    """Without it, moto reports an error of the server, and the provider retries the call for many minutes."""
    if ip in addresses_in_use(self):
        raise EC2ClientError("InvalidIPAddress.InUse", f"Address {ip} is in use.")


def addresses_in_use(subnet):
    interfaces = subnet.ec2_backend.get_all_network_interfaces()
    return {*subnet._subnet_ips, *(each.private_ip_address for each in interfaces if each.subnet.id == subnet.id)}


# The networks for documentation (RFC 5737), which nobody on the internet has. One address is that of the internet itself:
# Terraform's, and the mirror's (OUTSIDE_ADDRESS in vpc/addresses.ts). A list, because two requests cannot use a generator at a time:
# one of them would fail after it has made its load balancer, and its repetition would make a second one.
PUBLIC_ADDRESSES = cycle(
    [f"{network}.{host}" for network in ("203.0.113", "198.51.100", "192.0.2") for host in range(1, 255)]
)
RESERVED = {"198.51.100.1"}


def public_address():
    """Without it, moto draws addresses that other people have on the internet. This does not draw one again soon."""
    taken = {each.public_ip for ec2 in ec2_backends[ACCOUNT].values() for each in list(ec2.enis.values())}
    for _ in range(3 * 254):
        address = next(PUBLIC_ADDRESSES)
        if address not in taken | RESERVED:
            return address
    raise EC2ClientError("AddressLimitExceeded", "The emulated cloud has 761 public addresses, and all are in use.")


elastic_network_interfaces.random_public_ip = public_address


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
        if balancer.scheme != "internal":
            interface.public_ip = public_address()


@before(ELBv2Backend, "delete_load_balancer")
def a_deleted_load_balancer_leaves_no_interface(self, arn):
    enis = self.ec2_backend.enis
    for id in [each.id for each in list(enis.values()) if each.description == description(arn)]:
        enis.pop(id, None)


@before(ELBv2Backend, "modify_target_group")
def a_network_load_balancer_has_statuses_too(self, arn, protocol, port, path, interval, timeout, healthy, unhealthy, codes, **_):
    """Without it, a check that becomes HTTPS has no statuses, and every plan adds them."""
    if codes and protocol in ("HTTP", "HTTPS") and arn in self.target_groups:
        self.target_groups[arn].matcher = {"HttpCode": codes}


# If a rule refers to a group, its description is a field of the reference.
SecurityGroupRule.description = property(
    lambda self: self.ip_range.get("Description") or self.source_group.get("Description")
)


@after(BaseResponse, "call_action")
def machines_and_networks_follow(self, _):
    if not self._get_action().startswith(("Describe", "Get", "List")):
        note_change()


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
    app = application(DomainDispatcherApplication(create_backend_app))
    return make_server(host, port, app, threaded=True, request_handler=Handler)


calls = open(sys.argv[2], "a")
os.environ["MOTO_PORT"] = "5000"
servers = [server(f"unix://{sys.argv[1]}"), server("127.0.0.1", 5000)]
print("ready", flush=True)
Thread(target=servers[0].serve_forever, daemon=True).start()
servers[1].serve_forever()
