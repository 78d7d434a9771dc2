"""
The state of the emulated AWS that machines and networks follow: VPCs with their subnets, routes, interfaces, security
groups, instances and load balancers, as plain data. A program reads it over the emulator's socket file:

GET /cloud?after=VERSION    the state, as soon as its version is another one than VERSION, at the latest after 20 seconds
POST /cloud/health          sets what DescribeTargetHealth answers: {target group's ARN: {"address:port": "healthy", ...}}
"""

import json
from threading import Condition
from urllib.parse import parse_qs

from moto.ec2.models import ec2_backends
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.elbv2.models import FakeTargetGroup, elbv2_backends

ACCOUNT = "123456789012"

# The longest wait of a reader, in seconds.
WAIT = 20

changed = Condition()
version = 1
health = {}


def note_change():
    """Wakes the readers. Call it after each call that may have changed something."""
    global version
    with changed:
        version += 1
        changed.notify_all()


def application(aws):
    """Adds this module's paths to the application of the API."""

    def both(environ, start_response):
        global health
        path = environ.get("PATH_INFO", "")
        if path == "/cloud":
            after = int(parse_qs(environ.get("QUERY_STRING", "")).get("after", ["0"])[0])
            with changed:
                changed.wait_for(lambda: version != after, WAIT)
                body = json.dumps({"version": version, "vpcs": vpcs()}).encode()
        elif path == "/cloud/health":
            health = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            body = b"{}"
        else:
            return aws(environ, start_response)
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return both


def is_true(value):
    """moto keeps what the request had: a boolean, or its name."""
    return str(value).lower() == "true"


def description(arn):
    """The description that EC2 gives to the interfaces of a network load balancer: ELB net/NAME/ID."""
    return "ELB net/" + "/".join(arn.split("/")[-2:])


def with_health(method):
    """FakeTargetGroup.health_for with the result of the load balancer's checks."""

    def health_for(self, target, ec2):
        found = method(self, target, ec2)
        if found.status == "healthy":
            found.status = health.get(self.arn, {}).get(f"{found.instance_id}:{found.port}", "initial")
            reasons = {"initial": "Elb.RegistrationInProgress", "unhealthy": "Target.FailedHealthChecks"}
            found.reason = reasons.get(found.status)
        return found

    return health_for


FakeTargetGroup.health_for = with_health(FakeTargetGroup.health_for)


def vpcs():
    """The VPCs with interfaces. list() copies: another thread may change the collection meanwhile."""
    found = []
    for region, ec2 in list(ec2_backends[ACCOUNT].items()):
        interfaces = list(ec2.enis.values())
        for vpc in list(ec2.vpcs.values()):
            own = [each for each in interfaces if each.subnet.vpc_id == vpc.id]
            if own:
                found.append(described(region, ec2, vpc, own))
    return found


def described(region, ec2, vpc, interfaces):
    subnets = [each for zone in list(ec2.subnets.values()) for each in list(zone.values()) if each.vpc_id == vpc.id]
    tables = [each for each in list(ec2.route_tables.values()) if each.vpc_id == vpc.id]
    main = next((each.id for each in tables if each.main_association_id is not None), None)
    table_of = {subnet: each.id for each in tables for subnet in each._associations.values()}
    instances = [
        each
        for reservation in list(ec2.reservations.values())
        for each in reservation.instances
        if each.vpc_id == vpc.id and each.state != "terminated"
    ]
    elb = elbv2_backends[ACCOUNT][region]
    return {
        "id": vpc.id,
        "region": region,
        "cidrs": [each["cidr_block"] for each in vpc.get_cidr_block_association_set()],
        "dns": is_true(vpc.enable_dns_support),
        "subnets": [
            {
                "id": each.id,
                "cidr": each.cidr_block,
                "zone": each.availability_zone,
                "routeTable": table_of.get(each.id, main),
            }
            for each in subnets
        ],
        "routeTables": [{"id": each.id, "routes": [route(one) for one in each.routes]} for each in tables],
        "interfaces": [
            without_absent(
                {
                    "id": each.id,
                    "subnet": each.subnet.id,
                    "privateIp": each.private_ip_address,
                    "publicIp": each.public_ip or None,
                    "sourceDestCheck": is_true((each.instance or each).source_dest_check),
                    "securityGroups": sorted(group.id for group in each.group_set),
                }
            )
            for each in interfaces
        ],
        "securityGroups": [
            {
                "id": each.id,
                "ingress": [rule(one) for one in list(each.ingress_rules)],
                "egress": [rule(one) for one in list(each.egress_rules)],
            }
            for each in list(ec2.groups[vpc.id].values())
        ],
        "instances": [instance(ec2, each) for each in instances if 0 in each.nics],
        "loadBalancers": [
            {
                "arn": each.arn,
                "dnsName": each.dns_name,
                "interfaces": [one.id for one in interfaces if one.description == description(each.arn)],
                "crossZone": is_true(each.attrs.get("load_balancing.cross_zone.enabled")),
                "listeners": [
                    {"port": int(one.port), "targetGroup": action.data.get("TargetGroupArn")}
                    for one in list(each.listeners.values())
                    for action in one.default_actions
                ],
            }
            for each in list(elb.load_balancers.values())
            if each.vpc_id == vpc.id
        ],
        "targetGroups": [target_group(each) for each in list(elb.target_groups.values()) if each.vpc_id == vpc.id],
    }


def route(each):
    target = (
        "local"
        if each.local
        else {"port": each.interface.id}
        if each.interface
        else {"port": each.instance.nics[0].id}
        if each.instance
        else "gateway"
        if each.gateway
        else "blackhole"
    )
    return {"cidr": each.destination_cidr_block, "target": target}


def without_absent(values):
    """Without the fields that have no value."""
    return {name: value for name, value in values.items() if value is not None}


def rule(each):
    """A rule of a security group. Its ports are absent for all protocols; for ICMP, they are type and code."""
    return without_absent(
        {
            "protocol": str(each.ip_protocol),
            "from": each.from_port,
            "to": each.to_port,
            "cidrs": [each.ip_range["CidrIp"]] if each.ip_range.get("CidrIp") else [],
            "groups": [each.source_group["GroupId"]] if each.source_group.get("GroupId") else [],
        }
    )


def instance(ec2, each):
    key = ec2.key_pairs.get(each.key_name)
    options = each.metadata_options
    return {
        "id": each.id,
        "name": next((tag["value"] for tag in each.get_tags() if tag["key"] == "Name"), each.id),
        "state": each.state,
        "reboots": getattr(each, "reboots", 0),
        "type": each.instance_type,
        "memoryMiB": INSTANCE_TYPES[each.instance_type]["MemoryInfo"]["SizeInMiB"],
        "image": each.image_id,
        "zone": each.availability_zone,
        "interface": each.nics[0].id,
        "mac": each.nics[0].mac_address,
        "userData": str(each.user_data or ""),
        "keyName": each.key_name or "",
        "publicKey": key.material_public.decode() if key else "",
        "metadata": {
            "enabled": options.http_endpoint == "enabled",
            "tokens": options.http_tokens,
            "hopLimit": int(options.http_put_response_hop_limit),
        },
    }


def target_group(each):
    return {
        "arn": each.arn,
        "targets": [{"ip": one["Id"], "port": int(one["Port"])} for one in list(each.targets.values())],
        "preserveClientIp": is_true(each.attributes.get("preserve_client_ip.enabled")),
        "healthCheck": without_absent(
            {
                "protocol": each.health_check_protocol,
                "port": each.health_check_port
                if each.health_check_port == "traffic-port"
                else int(each.health_check_port),
                "path": each.health_check_path or None,
                "interval": int(each.health_check_interval_seconds),
                "timeout": int(each.health_check_timeout_seconds),
                "healthyThreshold": int(each.healthy_threshold_count),
                "unhealthyThreshold": int(each.unhealthy_threshold_count),
                "matcher": (getattr(each, "matcher", None) or {}).get("HttpCode"),
            }
        ),
    }
