import type { ClusterFacts, NodeFacts } from "../../model/identities";
import type { NodeRole } from "../../model/names";

/** Facts of a cluster on whose machines Kubernetes is installed. The fields may be tokens during synthesis. */
export interface KubernetesFacts extends ClusterFacts {
  /** The cluster's name. */
  readonly name: string;
  /** The CIDR of the services. */
  readonly serviceNetwork: string;
  /** The address of cluster DNS, the tenth of the service network. */
  readonly dnsAddress: string;
  /** The CIDR of all pods. */
  readonly podNetwork: string;
  /** The images that the machines need before any other, with their tags. */
  readonly images: { readonly pause: string; readonly coredns: string; readonly agnhost: string };
  /** The addresses of mirrors, by registry. */
  readonly registryMirrors: Readonly<Record<string, string>>;
}

/** A file of a component that contains no secret. */
export interface ComponentFile {
  readonly path: string;
  readonly content: string;
}

/** A program that runs on the machines of a role as a systemd unit. */
export interface Component {
  /** The name of the unit, without `.service`. */
  readonly name: string;
  readonly role: NodeRole;
  /** A line for people: the description of the unit. */
  readonly description: string;
  /** The user of the program. */
  readonly user: string;
  /** The TCP ports at which the program listens, each with those who connect. */
  readonly ports: readonly (readonly [port: string, clients: string])[];
  /** The unit and the files that the program reads. Certificates, keys and kubeconfigs are in `model/layout.ts`. */
  files(cluster: KubernetesFacts, node: NodeFacts): readonly ComponentFile[];
}

/** The first line of each file that the apply writes. The scripts refuse to replace a unit without it. */
export const HEADER = "# Written by the apply of the cluster. Changes here are lost.";

/** Properties of a {@link unit}. */
export interface UnitProps {
  /** Units that start before. @default - only the network */
  readonly after?: readonly string[];
  /** The path of the program, and arguments without hyphens. */
  readonly program: string;
  /** Its flags, without hyphens, in their order. */
  readonly flags: Readonly<Record<string, string>>;
  /** Other lines of the section `[Service]`. */
  readonly service?: readonly string[];
}

/** A component's systemd unit. It starts at boot, and again five seconds after a failure. */
export function unit(
  { name, description, user }: Pick<Component, "name" | "description" | "user">,
  props: UnitProps,
): ComponentFile {
  const { after = [], program, flags, service = [] } = props;
  const command = [program, ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`)];
  const lines = [
    HEADER,
    "[Unit]",
    `Description=${description}`,
    "Wants=network-online.target",
    `After=${["network-online.target", ...after].join(" ")}`,
    "StartLimitIntervalSec=0",
    "",
    "[Service]",
    ...(user === "root" ? [] : [`User=${user}`, ...HARDENING]),
    ...service,
    `ExecStart=${command.join(" \\\n  ")}`,
    "Restart=on-failure",
    "RestartSec=5",
    "",
    "[Install]",
    "WantedBy=multi-user.target",
  ];
  return { path: `/etc/systemd/system/${name}.service`, content: `${lines.join("\n")}\n` };
}

/**
 * Limits of programs that need nothing of the machine but their own files and the network.
 * @see https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#Sandboxing
 */
const HARDENING = [
  "NoNewPrivileges=yes",
  "CapabilityBoundingSet=",
  "ProtectSystem=strict",
  "ProtectHome=yes",
  "PrivateTmp=yes",
  "PrivateDevices=yes",
  "ProtectKernelTunables=yes",
  "ProtectKernelModules=yes",
  "ProtectControlGroups=yes",
  "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
  "RestrictNamespaces=yes",
  "RestrictSUIDSGID=yes",
  "LockPersonality=yes",
];
