/** How much harm a finding may do, in the words of SARIF. */
export type Level = "error" | "warning" | "note";

/** A kind of finding. */
export interface Kind {
  /**
   * `error`: the apply fails, data or the whole cluster are lost, or a stranger may get in. `warning`: access, machines or
   * programs change, and a person must check it. `note`: nothing stops.
   */
  readonly level: Level;
  /** The consequence. After addresses, it is the rest of a sentence. */
  readonly text: string;
  /** The section of the docs about it: a path in the project, with an anchor. @default - none */
  readonly docs?: string;
}

const TABLE = {
  partial: {
    level: "warning",
    text: "the plan leaves changes out, for example because of `-target`: this page does not show them",
  },
  name: {
    level: "warning",
    text: "the name changes: this creates a second cluster with its own state; the existing cluster stays, and continues to cost",
  },
  region: {
    level: "error",
    text: "the region changes: existing resources cannot move, so destroy the cluster first",
  },
  backend: {
    level: "error",
    text: "the state moves: run `terraform init -migrate-state`, or the next apply creates everything a second time",
  },
  "replace-network": {
    level: "error",
    text: "replaced, but the resources in it cannot move; destroy the cluster first",
  },
  refused: {
    level: "error",
    text: "AWS never accepts this change: the apply fails after it has made other changes",
  },
  "lose-quorum": {
    level: "error",
    text: "control plane machines go at once, so etcd loses its quorum, its tolerance of failures, or all data; write a snapshot of etcd before",
    docs: "docs/kubernetes.md#etcds-members",
  },
  "refused-upgrade": {
    level: "error",
    text: "another minor version, or an earlier version: each machine refuses it before it changes anything, so the apply fails",
    docs: "docs/kubernetes.md#changes",
  },
  "open-world": {
    level: "error",
    text: "allows connections from the whole internet",
  },
  secret: {
    level: "error",
    text: "a private key appears in a new place, or becomes visible",
  },
  commands: {
    level: "error",
    text: "changes the commands that run on a machine or on the host that deploys",
  },
  downloads: {
    level: "warning",
    text: "machines get programs or images from another address, or with another sum than the known one: they run as root",
  },
  "foreign-host": {
    level: "error",
    text: "connects to a host that is not a machine of this cluster, and copies files or runs commands there",
  },
  provider: {
    level: "warning",
    text: "changes a provider's source, version or configuration: its code runs on the host that deploys",
  },
  image: {
    level: "warning",
    text: "new machines start from an image that is not the newest of Canonical's, or not that of the other machines",
  },
  "user-data": {
    level: "warning",
    text: "new machines get user data that other machines do not have; user data can contain commands",
  },
  "login-key": {
    level: "warning",
    text: "another key can log in to new machines",
  },
  import: {
    level: "warning",
    text: "an object that Terraform did not make becomes part of the cluster: check who made it, and with which arguments",
  },
  identity: {
    level: "warning",
    text: "signs a certificate for another user or server than those of this project",
  },
  "close-ssh": {
    level: "warning",
    text: "addresses that could connect by ssh no longer can; if the host that deploys has such an address, it can no longer copy files, and applies fail",
  },
  access: {
    level: "warning",
    text: "changes who may connect to which port",
  },
  listener: {
    level: "warning",
    text: "changes what the load balancer listens on or forwards to",
  },
  route: {
    level: "warning",
    text: "changes where traffic or name lookups go",
  },
  "replace-ca": {
    level: "error",
    text: "another key or another name for the CA: replaces every certificate and every copy, an outage",
    docs: "docs/certificates.md#another-key-for-the-ca-an-outage",
  },
  "renew-ca": {
    level: "warning",
    text: "renews the CA's certificate with the same key: replaces every certificate and every copy",
    docs: "docs/certificates.md#the-cas-certificate-is-renewed",
  },
  "replace-service-account-key": {
    level: "error",
    text: "replaced or destroyed; the tokens of all service accounts become invalid, so pods must be restarted",
    docs: "docs/certificates.md#another-key-for-the-service-accounts",
  },
  "replace-encryption-key": {
    level: "error",
    text: "replaced or destroyed; the data in etcd that it encrypted cannot be read without it",
    docs: "docs/certificates.md#another-key-for-secrets",
  },
  "replace-machine": {
    level: "error",
    text: "replaced by a machine with an empty disk and another public address",
  },
  "destroy-machine": {
    level: "warning",
    text: "destroyed, together with its disk",
  },
  "restart-machine": {
    level: "warning",
    text: "stopped and started, with another public address",
  },
  upgrade: {
    level: "warning",
    text: "replaces running programs: on one control plane machine after the other, then on workers, each of which is drained before",
    docs: "docs/kubernetes.md#changes",
  },
  "restart-programs": {
    level: "note",
    text: 'restarts programs of Kubernetes, which the page lists under "Programs that restart"',
  },
  "uninstalls-nothing": {
    level: "warning",
    text: "no longer installs Kubernetes, and uninstalls nothing: the programs keep running with the certificates that they have until the machine is replaced, and certificates are copied to home folders again",
    docs: "docs/kubernetes.md#changes",
  },
  "replace-ssh-key": {
    level: "warning",
    text: "replaced; machines that are not replaced too keep the key that they were created with, so copies to them fail if it is another key",
  },
  "replace-certificate": {
    level: "note",
    text: "replaced, and copied again to each machine that has it",
  },
  "renew-earlier": {
    level: "note",
    text: "renewed earlier, by the first apply within `early_renewal_hours` of its expiry",
  },
  "replace-load-balancer": {
    level: "error",
    text: "replaced; a new load balancer has another DNS name",
  },
  forget: {
    level: "warning",
    text: "removed from Terraform's state but not destroyed",
  },
  rename: {
    level: "warning",
    text: "probably renamed; without a `moved` block it is destroyed and created again",
  },
  copies: {
    level: "warning",
    text: "the copied files change, or are not of this project",
  },
  unknown: {
    level: "warning",
    text: "this page does not know the effect: read the plan",
  },
} satisfies Record<string, Kind>;

/** The name of a kind of finding. */
export type FindingKind = keyof typeof TABLE;

/** The kinds of findings, the most important first. `--fail-on` takes the keys. */
export const FINDINGS: Readonly<Record<FindingKind, Kind>> = TABLE;

/** The names of all kinds, the most important first. */
export const KINDS = Object.keys(FINDINGS) as [FindingKind, ...FindingKind[]];

/** The kinds that cannot be seen in a plan: its JSON has neither connections nor the configuration before. */
export const UNSEEN_IN_PLAN: readonly FindingKind[] = [
  "name",
  "region",
  "backend",
  "foreign-host",
  "restart-programs",
  "rename",
];

/** The kinds that cannot be seen without a plan. */
export const UNSEEN_IN_COMPARISON: readonly FindingKind[] = ["partial", "import"];
