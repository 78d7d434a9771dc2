import { internalDomain } from "./addressing";
import { kubeletUser, type NodeRole } from "./names";

/** A machine of a cluster. The fields are tokens during synthesis and values after the deploy. */
export interface NodeFacts {
  /** The Name tag, `k8s-cluster-from-ground-up-worker-0`. */
  readonly name: string;
  /** The role and index, `worker-0`. */
  readonly id: string;
  readonly role: NodeRole;
  /** The host name without domain, `ip-172-31-0-20`. It is also the node's name in Kubernetes. */
  readonly hostname: string;
  /** The fixed private address. */
  readonly privateIp: string;
  /** The public address. Empty while the machine is stopped. */
  readonly publicIp: string;
  /** The CIDR of the machine's pods. @default - none: masters have no pods */
  readonly podCidr?: string;
}

/** Facts of a cluster that its certificates and kubeconfigs contain. */
export interface ClusterFacts {
  /** The AWS region, which determines the domain of private host names. @default - only names without domain */
  readonly region?: string;
  /** The load balancer's name. */
  readonly publicAddress: string;
  /** The address at which pods reach the API servers. */
  readonly serviceAddress: string;
  /** All machines: the control plane's, then the workers. */
  readonly nodes: readonly NodeFacts[];
}

/** A machine whose kubelet gets a certificate. */
export interface KubeletIdentity {
  /** The id in the construct tree, `worker-0`. @default - `name` */
  readonly id?: string;
  /** The start of the file names, `k8s-cluster-from-ground-up-worker-0`. */
  readonly name: string;
  /** The host name without domain, which is the node's name in Kubernetes. */
  readonly hostname: string;
  /** The addresses at which the kubelet is reached. */
  readonly ipAddresses: readonly string[];
}

/** The names in the certificates of the servers. */
export interface ServerNames {
  /** Names and addresses of the API servers, in addition to 127.0.0.1 and the names of their service. */
  readonly apiServer: { readonly dnsNames: readonly string[]; readonly ipAddresses: readonly string[] };
  /** The machines with a kubelet. */
  readonly kubelets: readonly KubeletIdentity[];
}

/** A certificate that the CA signs, with its key and, for some, a kubeconfig that contains both. */
export interface Identity {
  /** The id in the construct tree, which is the start of the Terraform addresses. @default - `fileName` */
  readonly id?: string;
  /** The start of the file names: `admin` gives `admin.pem`, `admin-key.pem` and `admin.kubeconfig`. */
  readonly fileName: string;
  /** CN. The API server uses it as the name of the user. */
  readonly commonName: string;
  /** O. The API server uses it as the group. @default - the subject's organization, which has no meaning in Kubernetes */
  readonly organization?: string;
  /** The extended key usages that programs require in the certificate. All the tutorial's certificates have both. */
  readonly neededUses: readonly ("serverAuth" | "clientAuth")[];
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
  /** The API server in the kubeconfig. @default - no kubeconfig */
  readonly kubeconfig?: { readonly apiServer: "load-balancer" | "local" };
}

/**
 * The start of the file names of the CA that signs {@link FRONT_PROXY_CLIENT}. Extension API servers trust every certificate
 * of this CA to name any user, so it must be another CA than the cluster's.
 * @see https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/
 */
export const FRONT_PROXY_CA = "front-proxy-ca";

/** The start of the file names, and the common name, of the API server's certificate for extension API servers. */
export const FRONT_PROXY_CLIENT = "front-proxy-client";

const BOTH_USES = ["serverAuth", "clientAuth"] as const;

/** The name of the API server that only its certificate contains. */
export const API_SERVER_NAME = "kubernetes.default.svc";

/** The names at which pods reach the API server. */
export const API_SERVICE_NAMES = [
  "kubernetes",
  "kubernetes.default",
  "kubernetes.default.svc",
  "kubernetes.default.svc.cluster",
  "kubernetes.default.svc.cluster.local",
];

/** The certificate that {@link FRONT_PROXY_CA} signs. */
export const FRONT_PROXY: Identity = {
  fileName: FRONT_PROXY_CLIENT,
  commonName: FRONT_PROXY_CLIENT,
  neededUses: ["clientAuth"],
};

/** The identities that every cluster has: clients of the API server, and the key pair for service account tokens. */
export const CLIENTS: readonly Identity[] = [
  {
    fileName: "kube-scheduler",
    commonName: "system:kube-scheduler",
    organization: "system:kube-scheduler",
    neededUses: ["clientAuth"],
    // The scheduler and the controller manager use the API server on the same machine.
    kubeconfig: { apiServer: "local" },
  },
  {
    fileName: "kube-proxy",
    commonName: "system:kube-proxy",
    organization: "system:node-proxier",
    neededUses: ["clientAuth"],
    kubeconfig: { apiServer: "load-balancer" },
  },
  {
    fileName: "kube-controller-manager",
    commonName: "system:kube-controller-manager",
    organization: "system:kube-controller-manager",
    neededUses: ["clientAuth"],
    kubeconfig: { apiServer: "local" },
  },
  {
    fileName: "admin",
    commonName: "admin",
    organization: "system:masters",
    neededUses: ["clientAuth"],
    kubeconfig: { apiServer: "load-balancer" },
  },
  {
    fileName: "service-account",
    commonName: "service-accounts",
    // No program presents this certificate. API servers verify tokens with its public key.
    neededUses: [],
  },
];

/** Every certificate that the CA of a cluster signs. */
export function identities({ apiServer, kubelets }: ServerNames): readonly Identity[] {
  return [
    {
      fileName: "master-kubernetes",
      commonName: "kubernetes",
      // It is a client certificate too: etcd members and API servers present it to etcd and to kubelets.
      neededUses: BOTH_USES,
      dnsNames: [...apiServer.dnsNames, ...API_SERVICE_NAMES],
      ipAddresses: ["127.0.0.1", ...apiServer.ipAddresses],
    },
    ...kubelets.map(
      ({ id, name, hostname, ipAddresses }): Identity => ({
        id,
        fileName: name,
        commonName: kubeletUser(hostname),
        organization: "system:nodes",
        neededUses: BOTH_USES,
        dnsNames: [hostname],
        ipAddresses,
        kubeconfig: { apiServer: "load-balancer" },
      }),
    ),
    ...CLIENTS,
  ];
}

/** The machines of a role. */
export function nodesOf({ nodes }: Pick<ClusterFacts, "nodes">, role: NodeRole): readonly NodeFacts[] {
  return nodes.filter((node) => node.role === role);
}

/** The names in the servers' certificates of a cluster. */
export function serverNames(cluster: ClusterFacts): ServerNames {
  const { region, publicAddress, serviceAddress } = cluster;
  const masters = nodesOf(cluster, "master");
  return {
    apiServer: {
      dnsNames: [
        ...masters.map(({ hostname }) => hostname),
        ...(region === undefined ? [] : masters.map(({ hostname }) => `${hostname}.${internalDomain(region)}`)),
        publicAddress,
      ],
      // Pods reach the API server at the first address of the service network. The tutorial's certificate lacks it.
      ipAddresses: [...masters.map(({ privateIp }) => privateIp), serviceAddress],
    },
    kubelets: nodesOf(cluster, "worker").map(({ id, name, hostname, publicIp, privateIp }) => ({
      id,
      name,
      hostname,
      ipAddresses: [publicIp, privateIp].filter((address) => address !== ""),
    })),
  };
}
