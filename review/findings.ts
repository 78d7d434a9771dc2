import { isDeepStrictEqual } from "node:util";
import { readDistributionScript, STAGING_SCRIPT } from "../model/distribution";
import { type ArgumentChange, type Changes, type ResourceChange, typeOf } from "./changes";

/** What a reviewer is to look at; `--fail-on` takes the keys. */
export const CONCERNS = {
  "open-world": "open to the whole world",
  secret: "a private key goes where it was not, or may be seen",
  commands: "runs other commands, on a machine or here",
  "replace-ca": "the certificate authority, replaced: every certificate and every copy follows",
  "replace-machine": "replaced, with an empty disk and another public address",
  "destroy-machine": "destroyed, with its disk",
  "restart-machine": "stopped and started, with another public address",
  "replace-network": "replaced: what lies in it does not move, so destroy the cluster first",
  "replace-ssh-key": "replaced: machines keep the key that they were made with, so copies to them will fail",
  "replace-encryption-key": "replaced or destroyed: what it has encrypted in etcd cannot be read without it",
  "replace-certificate": "replaced, and copied to who has it",
  "renew-earlier": "renewed earlier: the first apply in that time replaces it",
  "replace-load-balancer": "replaced; a load balancer gets another name",
  forget: "left behind: it stays, and Terraform knows it no more",
  rename: "renamed, as it seems: without a `moved` block it is destroyed, and made anew",
  copies: "other files are copied",
  name: "another name is another cluster, with a state of its own: this one stays, and is made a second time",
  region: "the region changes: what exists does not move, so destroy the cluster first",
  backend: "the state moves: `terraform init -migrate-state`, or the next apply makes everything a second time",
  unknown: "this page does not know what it does: look at the plan",
} as const;

/** The kind of a thing to look at. */
export type ConcernKind = keyof typeof CONCERNS;

/** Something to look at. */
export interface Concern {
  readonly kind: ConcernKind;
  /** The addresses that it is about; none where it is about all. */
  readonly about: readonly string[];
}

/** How many addresses a line names before it counts the rest. */
const NAMED = 6;

/** Addresses in a line, as Markdown. */
export function named(addresses: readonly string[]): string {
  const some = addresses.slice(0, NAMED).map((address) => `\`${address}\``);
  return addresses.length > NAMED ? `${some.join(", ")} and ${addresses.length - NAMED} more` : some.join(", ");
}

/** A concern in one line, as Markdown. */
export function describeConcern({ kind, about }: Concern): string {
  const text = CONCERNS[kind];
  return about.length === 0 ? text.charAt(0).toUpperCase() + text.slice(1) : `${named(about)}: ${text}`;
}

/** The arguments of a rule that say who may come in, and where. */
const OPENING = /^(cidr_ipv[46]|ip_protocol|from_port|to_port|security_group_id)$/;

/** Addresses of so few bits in common are taken for everybody's: two halves of the world are the world. */
const WORLD_BITS = 7;

const LOAD_BALANCER_PARTS = ["aws_lb", "aws_lb_listener", "aws_lb_target_group"];

function isWorld(cidr: unknown): boolean {
  return typeof cidr === "string" && Number(cidr.split("/")[1] ?? Number.POSITIVE_INFINITY) <= WORLD_BITS;
}

/** Where a private key may stand, since nobody sees it there, or since it is told as a copy. */
const SECRET_PLACES = /^((ca_)?private_key_pem|connection\.private_key|provisioner\(.*\)\.file\.content)$/;

/** Whether a value holds a private key, or takes the cover off something. */
function isSecret(value: unknown): boolean {
  return /private_key_(pem|openssh)|nonsensitive\(/.test(JSON.stringify(value ?? ""));
}

/** The commands that a provisioner runs beside the scripts of a file distribution. */
function commandsOf(path: string, value: unknown): unknown[] {
  if (!/^provisioner/.test(path) || /\.(file|connection)\./.test(path)) return [];
  const lines = Array.isArray(value) ? value : [value];
  if (isDeepStrictEqual(lines, STAGING_SCRIPT)) return [];
  return (readDistributionScript(lines)?.activate ?? lines).filter((line) => line !== undefined);
}

/** Whether something holds for an argument that is new, or is another than before. */
function someNew(
  { action, arguments: changed, settings }: ResourceChange,
  holds: (path: string, value: unknown) => boolean,
): boolean {
  if (action === "create") return Object.entries(settings).some(([path, value]) => holds(path, value));
  return changed.some(({ path, before, after }) => holds(path, after) && !holds(path, before));
}

/** Which changed resources each kind is about. */
const ABOUT: Partial<Record<ConcernKind, (change: ResourceChange, type: string) => boolean>> = {
  "open-world": ({ action, settings, arguments: changed }, type) =>
    (type === "aws_vpc_security_group_ingress_rule" &&
      (action === "create" || (!isGone(action) && changed.some(({ path }) => OPENING.test(path)))) &&
      [settings.cidr_ipv4, settings.cidr_ipv6].some(isWorld)) ||
    // Without it, who comes through the load balancer comes from the subnet, which the rules let in.
    changed.some(({ path, after }) => path === "preserve_client_ip" && String(after) !== "true"),
  secret: (change) => someNew(change, (path, value) => !SECRET_PLACES.test(path) && isSecret(value)),
  commands: (change) =>
    change.action === "create"
      ? Object.entries(change.settings).some(([path, value]) => commandsOf(path, value).length > 0)
      : change.arguments.some(
          ({ path, before, after }) => !isDeepStrictEqual(commandsOf(path, before), commandsOf(path, after)),
        ),
  "replace-ca": ({ action, address }, type) =>
    (type === "tls_self_signed_cert" || address === "tls_private_key.ca-private-key") && isLost(action),
  "replace-machine": ({ action }, type) => type === "aws_instance" && action === "replace",
  "destroy-machine": ({ action }, type) => type === "aws_instance" && action === "destroy",
  "restart-machine": ({ action }, type) => type === "aws_instance" && action === "restart",
  "replace-network": ({ action }, type) => ["aws_vpc", "aws_subnet"].includes(type) && action === "replace",
  "replace-ssh-key": ({ action }, type) => type === "aws_key_pair" && isLost(action),
  "replace-encryption-key": ({ action, address }) => address === "tls_private_key.encryption-key" && isLost(action),
  "replace-certificate": ({ action }, type) => type === "tls_locally_signed_cert" && action === "replace",
  "renew-earlier": ({ arguments: changed }) =>
    changed.some(
      ({ path, before, after }) => path === "early_renewal_hours" && Number(after ?? 0) > Number(before ?? 0),
    ),
  "replace-load-balancer": ({ action }, type) => LOAD_BALANCER_PARTS.includes(type) && isLost(action),
  forget: ({ action }) => action === "forget",
  rename: ({ renamedFrom }) => renamedFrom !== undefined,
  unknown: ({ unknown, arguments: changed }) => unknown === true || changed.some((each) => each.unknown === true),
};

/** The changes outside of resources that each kind is about. */
const ABOUT_ALL: Partial<Record<ConcernKind, (change: ArgumentChange) => boolean>> = {
  secret: ({ path, before, after }) =>
    path.endsWith(".sensitive")
      ? before === true && after === false
      : /nonsensitive\(/.test(JSON.stringify(after ?? "")),
  // Every cluster's resources carry its name in a tag, which no setting changes by itself.
  name: ({ path }) => path === "provider.aws[0].default_tags[0].tags.Cluster",
  region: ({ path }) => path === "provider.aws[0].region",
  backend: ({ path }) => path.startsWith("terraform.backend."),
  unknown: ({ unknown }) => unknown === true,
};

function isGone(action: ResourceChange["action"]): boolean {
  return action === "destroy" || action === "forget";
}

function isLost(action: ResourceChange["action"]): boolean {
  return action === "replace" || action === "destroy";
}

/** What to look at in changes, in the order of {@link CONCERNS}. */
export function concernsOf({ resources, copies, elsewhere }: Changes): Concern[] {
  return (Object.keys(CONCERNS) as ConcernKind[]).flatMap((kind) => {
    const isAbout = ABOUT[kind];
    const about =
      kind === "copies"
        ? [...new Set(copies.map(({ address }) => address))]
        : resources.filter((change) => isAbout?.(change, typeOf(change.address))).map(({ address }) => address);
    const whole = ABOUT_ALL[kind];
    const isElsewhere = whole !== undefined && elsewhere.some(whole);
    return about.length > 0 || isElsewhere ? [{ kind, about }] : [];
  });
}
