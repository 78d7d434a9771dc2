import type { Changes, ResourceChange } from "./changes";

/** What a reviewer is to look at; `--fail-on` takes the keys. */
export const CONCERNS = {
  "open-world": "open to the whole world",
  "replace-ca": "the certificate authority, replaced: every certificate and every copy follows",
  "replace-machine": "replaced, with an empty disk and another public address",
  "destroy-machine": "destroyed, with its disk",
  "restart-machine": "stopped and started, with another public address",
  "replace-certificate": "replaced, and copied to who has it",
  "replace-load-balancer": "replaced; a load balancer gets another name",
  rename: "renamed, as it seems: without a `moved` block it is destroyed, and made anew",
  copies: "other files are copied",
  name: "another name is another cluster, with a state of its own: this one stays, and is made a second time",
  region: "the region changes: what exists does not move, so destroy the cluster first",
  backend: "the state moves: `terraform init -migrate-state`, or the next apply makes everything a second time",
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
const OPENING = /^(cidr_ipv[46]|ip_protocol|from_port|to_port)$/;

const EVERYWHERE = ["0.0.0.0/0", "::/0"];
const LOAD_BALANCER_PARTS = ["aws_lb", "aws_lb_listener", "aws_lb_target_group"];

/** Which changed resources each kind is about. */
const ABOUT: Partial<Record<ConcernKind, (change: ResourceChange, type: string) => boolean>> = {
  "open-world": ({ action, settings, arguments: changed }, type) =>
    type === "aws_vpc_security_group_ingress_rule" &&
    (action === "create" || (action !== "destroy" && changed.some(({ path }) => OPENING.test(path)))) &&
    [settings.cidr_ipv4, settings.cidr_ipv6].some((source) => EVERYWHERE.includes(source as string)),
  "replace-ca": ({ action, address }, type) =>
    (type === "tls_self_signed_cert" || address === "tls_private_key.ca-private-key") && isLost(action),
  "replace-machine": ({ action }, type) => type === "aws_instance" && action === "replace",
  "destroy-machine": ({ action }, type) => type === "aws_instance" && action === "destroy",
  "restart-machine": ({ action }, type) => type === "aws_instance" && action === "restart",
  "replace-certificate": ({ action }, type) => type === "tls_locally_signed_cert" && action === "replace",
  "replace-load-balancer": ({ action }, type) => LOAD_BALANCER_PARTS.includes(type) && isLost(action),
  rename: ({ renamedFrom }) => renamedFrom !== undefined,
};

/** The paths outside of resources whose change each kind is about. */
const ABOUT_ALL: Partial<Record<ConcernKind, RegExp>> = {
  // Every cluster's resources carry its name in a tag, which no setting changes by itself.
  name: /^provider\.aws\[0\]\.default_tags\[0\]\.tags\.Cluster$/,
  region: /^provider\.aws\[0\]\.region$/,
  backend: /^terraform\.backend\./,
};

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
        : resources
            .filter((change) => isAbout?.(change, change.address.split(".")[0] as string))
            .map(({ address }) => address);
    const whole = ABOUT_ALL[kind];
    const isElsewhere = whole !== undefined && elsewhere.some(({ path }) => whole.test(path));
    return about.length > 0 || isElsewhere ? [{ kind, about }] : [];
  });
}
