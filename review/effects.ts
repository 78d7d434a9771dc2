import { isArm } from "../model/instance-types";
import { withoutIndexes } from "./arguments";
import type { Action } from "./changes";

/** The effect of a changed argument on an existing resource. */
export type Effect = Exclude<Action, "create" | "destroy" | "forget" | "clean-up">;

/** The effect of an argument: always the same, or dependent on the values before and after. */
type Rule = Effect | ((before: unknown, after: unknown) => Effect);

/** The arguments of a resource type by their effect. */
interface Row {
  readonly replace?: readonly string[];
  readonly update?: readonly string[];
  readonly restart?: readonly string[];
  readonly none?: readonly string[];
  readonly special?: Readonly<Record<string, Rule>>;
  /**
   * The arguments that the provider's schema has as optional and computed: without a value in the configuration, the object
   * keeps the value that it has.
   */
  readonly kept?: readonly string[];
  /** The changes that AWS never accepts. */
  readonly refused?: Readonly<Record<string, (before: unknown, after: unknown) => string | undefined>>;
}

const SUBJECT = ["common_name", "organization", "organizational_unit", "country", "province", "locality"].map(
  (field) => `subject.${field}`,
);

const SECURITY_RULE: Row = {
  replace: ["security_group_id"],
  // The kind of source never changes at one address, since it is part of the address.
  update: ["cidr_ipv4", "referenced_security_group_id", "ip_protocol", "from_port", "to_port", "description"],
};

/**
 * The effect of each argument that this project sets. The table comes from the providers' source: ForceNew and CustomizeDiff
 * of hashicorp/aws, plan modifiers of hashicorp/tls and hashicorp/null. Terraform's exported schema does not contain it.
 */
const TABLE: Readonly<Record<string, Row>> = {
  aws_vpc: {
    replace: ["cidr_block"],
    update: ["enable_dns_support", "enable_dns_hostnames"],
    kept: ["cidr_block", "enable_dns_hostnames"],
  },
  aws_vpc_dhcp_options: { replace: ["domain_name", "domain_name_servers"] },
  aws_vpc_dhcp_options_association: { replace: ["vpc_id"], update: ["dhcp_options_id"] },
  aws_subnet: {
    replace: ["vpc_id", "cidr_block", "availability_zone"],
    update: ["private_dns_hostname_type_on_launch"],
    kept: ["availability_zone", "private_dns_hostname_type_on_launch"],
  },
  aws_ec2_subnet_cidr_reservation: { replace: ["subnet_id", "cidr_block", "reservation_type"] },
  aws_internet_gateway: { update: ["vpc_id"], kept: ["vpc_id"] },
  aws_route_table: { replace: ["vpc_id"] },
  aws_route_table_association: { replace: ["subnet_id"], update: ["route_table_id"] },
  aws_route: {
    replace: ["route_table_id", "destination_cidr_block"],
    update: ["gateway_id", "network_interface_id"],
    kept: ["network_interface_id"],
  },
  aws_security_group: { replace: ["name", "description", "vpc_id"], kept: ["name", "vpc_id"] },
  aws_vpc_security_group_ingress_rule: SECURITY_RULE,
  aws_vpc_security_group_egress_rule: SECURITY_RULE,
  aws_key_pair: { replace: ["key_name", "public_key"], kept: ["key_name"] },
  aws_instance: {
    // On existing machines, lifecycle.ignore_changes ignores the first two and the user data.
    replace: [
      "ami",
      "associate_public_ip_address",
      "key_name",
      "subnet_id",
      "private_ip",
      "root_block_device.encrypted",
    ],
    restart: ["user_data"],
    update: [
      "vpc_security_group_ids",
      "source_dest_check",
      "metadata_options.http_endpoint",
      "metadata_options.http_tokens",
      "root_block_device.volume_size",
      "root_block_device.volume_type",
    ],
    special: {
      // A machine cannot change its architecture.
      instance_type: (before, after) => (isArm(String(before)) === isArm(String(after)) ? "restart" : "replace"),
    },
    kept: [
      "ami",
      "associate_public_ip_address",
      "instance_type",
      "key_name",
      "metadata_options.http_tokens",
      "private_ip",
      "root_block_device.encrypted",
      "root_block_device.volume_size",
      "root_block_device.volume_type",
      "subnet_id",
      "user_data",
      "vpc_security_group_ids",
    ],
    refused: {
      // https://docs.aws.amazon.com/ebs/latest/userguide/modify-volume-requirements.html
      "root_block_device.volume_size": (before, after) =>
        Number(after) < Number(before) ? "EBS never makes a volume smaller" : undefined,
    },
  },
  aws_lb: {
    replace: ["name", "load_balancer_type", "internal"],
    // A network load balancer can get another subnet in place, but cannot lose one.
    special: { subnets: (before, after) => (includesAll(after, before) ? "update" : "replace") },
    kept: ["internal", "name", "subnets"],
  },
  aws_lb_target_group: {
    replace: ["name", "protocol", "port", "target_type", "vpc_id"],
    update: [
      "preserve_client_ip",
      ...["protocol", "path", "matcher", "interval", "timeout", "healthy_threshold", "unhealthy_threshold"].map(
        (field) => `health_check.${field}`,
      ),
    ],
    kept: ["health_check", "name", "preserve_client_ip"],
  },
  aws_lb_target_group_attachment: { replace: ["target_group_arn", "target_id", "port"] },
  aws_lb_listener: {
    replace: ["load_balancer_arn"],
    update: ["port", "protocol", "default_action.type", "default_action.target_group_arn"],
    kept: ["protocol"],
  },
  tls_private_key: { replace: ["algorithm", "rsa_bits"] },
  tls_cert_request: { replace: ["private_key_pem", "dns_names", "ip_addresses", ...SUBJECT] },
  tls_self_signed_cert: {
    replace: [
      "private_key_pem",
      "validity_period_hours",
      "allowed_uses",
      "is_ca_certificate",
      "set_subject_key_id",
      ...SUBJECT,
    ],
    // The update is in place. The certificate is replaced only when the renewal time comes.
    update: ["early_renewal_hours"],
  },
  tls_locally_signed_cert: {
    replace: [
      "cert_request_pem",
      "ca_private_key_pem",
      "ca_cert_pem",
      "validity_period_hours",
      "allowed_uses",
      "set_subject_key_id",
    ],
    update: ["early_renewal_hours"],
  },
  // Every argument of `triggers` replaces: see effectOf.
  null_resource: {},
};

/** Terraform's own arguments. They do not affect existing resources, only the creation of a resource. */
export const META = /^(depends_on|lifecycle|connection|provisioner)(?=[.[(]|$)/;

/** The parts of `lifecycle` that this page knows. A condition has no effect, except that an apply may fail. */
const LIFECYCLE =
  /^lifecycle\.(ignore_changes|replace_triggered_by|create_before_destroy|prevent_destroy|(pre|post)condition\.(condition|error_message))$/;

/** Whether the table has a resource type and every one of these arguments. @param paths - with or without indexes */
export function isFullyKnown(type: string, paths: Iterable<string>): boolean {
  return (
    rowOf(type) !== undefined &&
    [...paths].every((path) => effectOf(type, withoutIndexes(path), undefined, undefined) !== undefined)
  );
}

/** Resource types that have no tags in AWS, so that the provider's default tags do not apply to them. */
const UNTAGGED = [
  "aws_ec2_subnet_cidr_reservation",
  "aws_lb_target_group_attachment",
  "aws_route",
  "aws_route_table_association",
  "aws_vpc_dhcp_options_association",
];

/** Whether the provider adds its default tags to resources of a type. */
export function hasDefaultTags(type: string): boolean {
  return type.startsWith("aws_") && !UNTAGGED.includes(type);
}

/** Attributes that change when a machine is stopped and started. */
export const CHANGED_BY_RESTART = ["public_ip", "public_dns"];

/**
 * The effect of a changed argument.
 * @param path - without indexes, for example `subject.common_name`
 * @returns undefined if the table does not know the argument
 */
export function effectOf(type: string, path: string, before: unknown, after: unknown): Effect | undefined {
  if (/^lifecycle\./.test(path) && !LIFECYCLE.test(path)) return undefined;
  if (META.test(path)) return "none";
  if (/^tags(_all)?(\.|$)/.test(path) && type.startsWith("aws_")) return "update";
  if (type === "null_resource" && /^triggers(\.|$)/.test(path)) return "replace";
  const row = rowOf(type);
  const rule = own(row?.special, path);
  if (rule !== undefined) return typeof rule === "function" ? rule(before, after) : rule;
  return (["replace", "restart", "update", "none"] as const).find((effect) => row?.[effect]?.includes(path));
}

/** Whether an object keeps the value of an argument that is removed from the configuration. */
export function isKept(type: string, path: string): boolean {
  const kept = rowOf(type)?.kept ?? [];
  return kept.includes(path) || kept.includes(path.split(".")[0] as string);
}

/** The reason why AWS never accepts the change of an argument; undefined if there is none. */
export function refusalOf(type: string, path: string, before: unknown, after: unknown): string | undefined {
  return own(rowOf(type)?.refused, path)?.(before, after);
}

function rowOf(type: string): Row | undefined {
  return own(TABLE, type);
}

function own<T>(record: Readonly<Record<string, T>> | undefined, key: string): T | undefined {
  return record !== undefined && Object.hasOwn(record, key) ? record[key] : undefined;
}

/** Whether a list contains every element of another; also true if one of them is not known. */
function includesAll(list: unknown, other: unknown): boolean {
  return !Array.isArray(list) || !Array.isArray(other) || other.every((each) => list.includes(each));
}
