import { FRONT_PROXY_CA, FRONT_PROXY_CLIENT, type NodeFacts } from "./identities";
import { NODE_USER } from "./names";

/** The home folder of the machines' user, into which files are copied. */
export const NODE_HOME = `/home/${NODE_USER}`;

/** A program that reads files. */
export type Component =
  | "etcd"
  | "kube-apiserver"
  | "kube-controller-manager"
  | "kube-scheduler"
  | "kubelet"
  | "kube-proxy";

/** The content of a file: a part of an identity, or the encryption config. */
export type FileSource =
  | { readonly kind: "certificate" | "key" | "kubeconfig"; readonly identity: string }
  | { readonly kind: "encryption-config" };

/** A file of a machine. */
export interface NodeFile {
  readonly source: FileSource;
  /** The file name in the home folder. */
  readonly fileName: string;
  /** 0644 for certificates; 0600 for files that contain a key. */
  readonly mode: "0600" | "0644";
  /** The setting under `copies` that turns the copy on. @default - always copied */
  readonly setting?: "kubeconfigs" | "encryptionConfig";
  /** The paths to which part 2 moves or copies the file. */
  readonly places: readonly string[];
  /** The programs that read the file. They are restarted when it changes, except those in `rereadBy`. */
  readonly readBy: readonly Component[];
  /** The programs of `readBy` that read the file again by themselves. @default - none */
  readonly rereadBy?: readonly Component[];
}

/** A file in the place from which programs read it, on a machine where the apply installs Kubernetes. */
export interface LiveFile extends Pick<NodeFile, "source" | "mode" | "readBy" | "rereadBy"> {
  readonly path: string;
  /** The user of the only program that may read the file; root for certificates, and for programs that run as root. */
  readonly owner: string;
}

/**
 * The system user of each program. The kubelet and kube-proxy change mounts, networks and control groups of the machine, so
 * they run as root.
 */
export const USERS: Readonly<Record<Component, string>> = {
  etcd: "etcd",
  "kube-apiserver": "kube-apiserver",
  "kube-controller-manager": "kube-controller-manager",
  "kube-scheduler": "kube-scheduler",
  kubelet: "root",
  "kube-proxy": "root",
};

/** The start of the CA's file names. Those of all other certificates are in `identities`. */
export const CA = "ca";

/** The file name of the encryption config. */
export const ENCRYPTION_CONFIG_FILE = "encryption-config.yaml";

/** The folder of etcd's certificates. */
export const ETCD = "/etc/etcd";
/** The folder of the control plane's files, and of the CA's certificate on workers. */
export const KUBERNETES = "/var/lib/kubernetes";
/** The kubelet's folder. */
export const KUBELET = "/var/lib/kubelet";
/** The folder of kube-proxy's files. */
export const KUBE_PROXY = "/var/lib/kube-proxy";

/** The maximum length of a file name on Linux and macOS, in bytes. */
export const MAX_FILE_NAME = 255;

/** The file names of an identity, by kind of file. */
export const FILE_NAMES = {
  certificate: (identity: string) => `${identity}.pem`,
  key: (identity: string) => `${identity}-key.pem`,
  kubeconfig: (identity: string) => `${identity}.kubeconfig`,
} as const;

/** The path of the ssh key for a cluster's machines, in a credentials folder. `ssh_commands` work in that folder. */
export function sshKeyPath(clusterName: string): string {
  return `ssh/${clusterName}.id_rsa`;
}

/** The files of a machine, in the order in which they are copied. Each role has its own table. */
export function nodeFiles({ role, name }: Pick<NodeFacts, "role" | "name">): readonly NodeFile[] {
  return role === "master"
    ? [
        pem("certificate", CA, [KUBERNETES, ETCD], ["etcd", "kube-apiserver", "kube-controller-manager"]),
        pem("key", CA, [KUBERNETES], ["kube-controller-manager"]),
        pem("certificate", "service-account", [KUBERNETES], ["kube-apiserver"]),
        pem("key", "service-account", [KUBERNETES], ["kube-apiserver", "kube-controller-manager"]),
        // etcd reads its certificate and key at each handshake; the API server does not so as a client of kubelets.
        pem("certificate", "master-kubernetes", [KUBERNETES, ETCD], ["etcd", "kube-apiserver"], ["etcd"]),
        pem("key", "master-kubernetes", [KUBERNETES, ETCD], ["etcd", "kube-apiserver"], ["etcd"]),
        // No program reads it; it is for a person who logs in.
        kubeconfig("admin", [], []),
        kubeconfig(
          "kube-controller-manager",
          [`${KUBERNETES}/kube-controller-manager.kubeconfig`],
          ["kube-controller-manager"],
        ),
        kubeconfig("kube-scheduler", [`${KUBERNETES}/kube-scheduler.kubeconfig`], ["kube-scheduler"]),
        {
          source: { kind: "encryption-config" },
          fileName: ENCRYPTION_CONFIG_FILE,
          mode: "0600",
          setting: "encryptionConfig",
          places: [`${KUBERNETES}/${ENCRYPTION_CONFIG_FILE}`],
          readBy: ["kube-apiserver"],
        },
      ]
    : [
        pem("certificate", CA, [KUBERNETES], ["kubelet"]),
        pem("certificate", name, [KUBELET], ["kubelet"]),
        pem("key", name, [KUBELET], ["kubelet"]),
        kubeconfig("kube-proxy", [`${KUBE_PROXY}/kubeconfig`], ["kube-proxy"]),
        kubeconfig(name, [`${KUBELET}/kubeconfig`], ["kubelet"]),
      ];
}

/** The files of a machine on which the apply installs Kubernetes, in the places from which programs read them. */
export function liveFiles(node: Pick<NodeFacts, "role" | "name">): readonly LiveFile[] {
  const frontProxy =
    node.role === "master"
      ? [
          pem("certificate", FRONT_PROXY_CA, [KUBERNETES], ["kube-apiserver"], ["kube-apiserver"]),
          pem("certificate", FRONT_PROXY_CLIENT, [KUBERNETES], ["kube-apiserver"], ["kube-apiserver"]),
          pem("key", FRONT_PROXY_CLIENT, [KUBERNETES], ["kube-apiserver"], ["kube-apiserver"]),
        ]
      : [];
  return [...nodeFiles(node), ...frontProxy].flatMap(({ source, fileName, mode, places, readBy, rereadBy }) =>
    // The scripts on the machine use the administrator's kubeconfig, which no program reads.
    (places.length > 0 ? places : [`${KUBERNETES}/${fileName}`]).map((path) => {
      const readers = readBy.filter((each) => (each === "etcd") === path.startsWith(`${ETCD}/`));
      const again = rereadBy?.filter((each) => readers.includes(each));
      return {
        source,
        mode,
        readBy: readers,
        rereadBy: again,
        path,
        owner: mode === "0644" ? "root" : ownerOf(readers),
      };
    }),
  );
}

/** The first reader's user. Systemd passes the file to the others (`LoadCredential`). */
function ownerOf([reader]: readonly Component[]): string {
  return reader === undefined ? "root" : USERS[reader];
}

function pem(
  kind: "certificate" | "key",
  identity: string,
  folders: readonly string[],
  readBy: readonly Component[],
  rereadBy?: readonly Component[],
): NodeFile {
  const fileName = FILE_NAMES[kind](identity);
  const mode = kind === "key" ? "0600" : "0644";
  return {
    source: { kind, identity },
    fileName,
    mode,
    places: folders.map((folder) => `${folder}/${fileName}`),
    readBy,
    rereadBy,
  };
}

function kubeconfig(identity: string, places: readonly string[], readBy: readonly Component[]): NodeFile {
  const source = { kind: "kubeconfig", identity } as const;
  return { source, fileName: FILE_NAMES.kubeconfig(identity), mode: "0600", setting: "kubeconfigs", places, readBy };
}
