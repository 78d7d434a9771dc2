import { isDeepStrictEqual } from "node:util";
import { readDistributionScript, STAGING_SCRIPT } from "../model/distribution";
import { type ArgumentChange, type Changes, type ResourceChange, typeOf } from "./changes";

/** The text of each kind of finding. `--fail-on` takes the keys. */
export const FINDINGS = {
  "open-world": "allows connections from the whole internet",
  secret: "a private key appears in a new place, or becomes visible",
  commands: "changes the commands that run on a machine or on the host that deploys",
  "replace-ca": "replaces the CA, and with it every certificate and every copy",
  "replace-machine": "replaced by a machine with an empty disk and another public address",
  "destroy-machine": "destroyed, together with its disk",
  "restart-machine": "stopped and started, with another public address",
  "replace-network": "replaced, but the resources in it cannot move; destroy the cluster first",
  "replace-ssh-key":
    "replaced, but existing machines keep the key that they were created with, so copies to them will fail",
  "replace-encryption-key": "replaced or destroyed; the data in etcd that it encrypted cannot be read without it",
  "replace-certificate": "replaced, and copied again to each machine that has it",
  "renew-earlier": "renewed earlier, by the first apply within `early_renewal_hours` of its expiry",
  "replace-load-balancer": "replaced; a new load balancer has another DNS name",
  forget: "removed from Terraform's state but not destroyed",
  rename: "probably renamed; without a `moved` block it is destroyed and created again",
  copies: "the copied files change",
  name: "the name changes: this creates a second cluster with its own state, and the existing cluster stays",
  region: "the region changes: existing resources cannot move, so destroy the cluster first",
  backend: "the state moves: run `terraform init -migrate-state`, or the next apply creates everything a second time",
  unknown: "this page does not know the effect: read the plan",
} as const;

/** The kind of a finding. */
export type FindingKind = keyof typeof FINDINGS;

/** A consequence of a change that a reviewer must look at. */
export interface Finding {
  readonly kind: FindingKind;
  /** The addresses of the resources with this finding; empty if it applies to the whole configuration. */
  readonly addresses: readonly string[];
}

/** The largest number of addresses in a line. After them, the line has the number of the other addresses. */
const NAMED_ADDRESSES = 6;

/** Addresses in one line, as Markdown. */
export function listAddresses(addresses: readonly string[]): string {
  const some = addresses.slice(0, NAMED_ADDRESSES).map((address) => `\`${address}\``);
  return addresses.length > NAMED_ADDRESSES
    ? `${some.join(", ")} and ${addresses.length - NAMED_ADDRESSES} more`
    : some.join(", ");
}

/** A finding in one line, as Markdown. */
export function describeFinding({ kind, addresses }: Finding): string {
  const text = FINDINGS[kind];
  return addresses.length === 0 ? text.charAt(0).toUpperCase() + text.slice(1) : `${listAddresses(addresses)}: ${text}`;
}

/** The arguments of a security rule that define its sources, its ports and its group. */
const RULE_SCOPE = /^(cidr_ipv[46]|ip_protocol|from_port|to_port|security_group_id)$/;

/** The longest prefix that counts as the whole internet. It is not 0, because two rules with a /1 each allow all of it. */
const WORLD_PREFIX = 7;

const LOAD_BALANCER_PARTS = ["aws_lb", "aws_lb_listener", "aws_lb_target_group"];

function isWorld(cidr: unknown): boolean {
  return typeof cidr === "string" && Number(cidr.split("/")[1] ?? Number.POSITIVE_INFINITY) <= WORLD_PREFIX;
}

/** The arguments that may hold a private key: the plan does not show them, or the page lists them as copied files. */
const SECRET_PLACES = /^((ca_)?private_key_pem|connection\.private_key|provisioner\(.*\)\.file\.content)$/;

/** Whether a value holds a private key, or makes a sensitive value visible. */
function isSecret(value: unknown): boolean {
  return /private_key_(pem|openssh)|nonsensitive\(/.test(JSON.stringify(value ?? ""));
}

/** The commands that a provisioner runs in addition to the scripts of a file distribution. */
function commandsOf(path: string, value: unknown): unknown[] {
  if (!/^provisioner/.test(path) || /\.(file|connection)\./.test(path)) return [];
  const lines = Array.isArray(value) ? value : [value];
  if (isDeepStrictEqual(lines, STAGING_SCRIPT)) return [];
  return (readDistributionScript(lines)?.activate ?? lines).filter((line) => line !== undefined);
}

/** Whether a test is true for an argument now, and was not true for it before. */
function becomesTrue(
  { action, arguments: changed, settings }: ResourceChange,
  test: (path: string, value: unknown) => boolean,
): boolean {
  if (action === "create") return Object.entries(settings).some(([path, value]) => test(path, value));
  return changed.some(({ path, before, after }) => test(path, after) && !test(path, before));
}

/** For each kind, a test of whether a changed resource has that finding. */
const RESOURCE_TESTS: Partial<Record<FindingKind, (change: ResourceChange, type: string) => boolean>> = {
  "open-world": ({ action, settings, arguments: changed }, type) =>
    (type === "aws_vpc_security_group_ingress_rule" &&
      (action === "create" || (!isRemoved(action) && changed.some(({ path }) => RULE_SCOPE.test(path)))) &&
      [settings.cidr_ipv4, settings.cidr_ipv6].some(isWorld)) ||
    // Without it, connections from the load balancer come from an address of the subnet, which the rules allow.
    changed.some(({ path, after }) => path === "preserve_client_ip" && String(after) !== "true"),
  secret: (change) => becomesTrue(change, (path, value) => !SECRET_PLACES.test(path) && isSecret(value)),
  commands: (change) =>
    change.action === "create"
      ? Object.entries(change.settings).some(([path, value]) => commandsOf(path, value).length > 0)
      : change.arguments.some(
          ({ path, before, after }) => !isDeepStrictEqual(commandsOf(path, before), commandsOf(path, after)),
        ),
  "replace-ca": ({ action, address }, type) =>
    (type === "tls_self_signed_cert" || address === "tls_private_key.ca-private-key") && isReplacedOrDestroyed(action),
  "replace-machine": ({ action }, type) => type === "aws_instance" && action === "replace",
  "destroy-machine": ({ action }, type) => type === "aws_instance" && action === "destroy",
  "restart-machine": ({ action }, type) => type === "aws_instance" && action === "restart",
  "replace-network": ({ action }, type) => ["aws_vpc", "aws_subnet"].includes(type) && action === "replace",
  "replace-ssh-key": ({ action }, type) => type === "aws_key_pair" && isReplacedOrDestroyed(action),
  "replace-encryption-key": ({ action, address }) =>
    address === "tls_private_key.encryption-key" && isReplacedOrDestroyed(action),
  "replace-certificate": ({ action }, type) => type === "tls_locally_signed_cert" && action === "replace",
  "renew-earlier": ({ arguments: changed }) =>
    changed.some(
      ({ path, before, after }) => path === "early_renewal_hours" && Number(after ?? 0) > Number(before ?? 0),
    ),
  "replace-load-balancer": ({ action }, type) => LOAD_BALANCER_PARTS.includes(type) && isReplacedOrDestroyed(action),
  forget: ({ action }) => action === "forget",
  rename: ({ renamedFrom }) => renamedFrom !== undefined,
  unknown: ({ unknown, arguments: changed }) => unknown === true || changed.some((each) => each.unknown === true),
};

/** For each kind, a test of whether a change outside of resources has that finding. */
const OTHER_TESTS: Partial<Record<FindingKind, (change: ArgumentChange) => boolean>> = {
  secret: ({ path, before, after }) =>
    path.endsWith(".sensitive")
      ? before === true && after === false
      : /nonsensitive\(/.test(JSON.stringify(after ?? "")),
  // The resources of every cluster have a tag with its name. No other setting changes that tag.
  name: ({ path }) => path === "provider.aws[0].default_tags[0].tags.Cluster",
  region: ({ path }) => path === "provider.aws[0].region",
  backend: ({ path }) => path.startsWith("terraform.backend."),
  unknown: ({ unknown }) => unknown === true,
};

function isRemoved(action: ResourceChange["action"]): boolean {
  return action === "destroy" || action === "forget";
}

function isReplacedOrDestroyed(action: ResourceChange["action"]): boolean {
  return action === "replace" || action === "destroy";
}

/** The findings in changes, in the order of {@link FINDINGS}. */
export function findingsOf({ resources, copies, elsewhere }: Changes): Finding[] {
  return (Object.keys(FINDINGS) as FindingKind[]).flatMap((kind) => {
    const isFound = RESOURCE_TESTS[kind];
    const addresses =
      kind === "copies"
        ? [...new Set(copies.map(({ address }) => address))]
        : resources.filter((change) => isFound?.(change, typeOf(change.address))).map(({ address }) => address);
    const isFoundElsewhere = OTHER_TESTS[kind];
    const whole = isFoundElsewhere !== undefined && elsewhere.some(isFoundElsewhere);
    return addresses.length > 0 || whole ? [{ kind, addresses }] : [];
  });
}
